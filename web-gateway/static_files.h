// The page's files, read into memory once: a request can only name what was there then, so that no
// path leads anywhere else. Text is kept gzipped too.
//
// Thread promise: Load replaces the set at once; Answer from any thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "web-gateway/http.h"

namespace drover::gateway {

class StaticFiles {
 public:
  // Reads the folder; "" is a page without files. Keeps what it had on an error: NOT_FOUND without
  // index.html, RESOURCE_EXHAUSTED for a folder beyond 64 MiB.
  absl::Status Load(const std::string& folder) ABSL_LOCKS_EXCLUDED(mutex_);

  // The file, 304 for one the browser has, index.html for a page's own path that a person visits
  // (Accept: text/html, no ending), 404, or 405.
  HttpResponse Answer(const HttpRequest& request) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct File {
    std::string content_type;
    std::string etag;
    std::shared_ptr<const std::string> plain;
    // Null when it would not be smaller.
    std::shared_ptr<const std::string> gzip;
    // Its name changes with its content.
    bool hashed = false;
  };
  using Files = std::map<std::string, File>;

  static HttpResponse Send(const File& file, const HttpRequest& request);

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Files> files_ ABSL_GUARDED_BY(mutex_) = std::make_shared<Files>();
};

// By the name's ending; "application/octet-stream" when nobody knows.
absl::string_view ContentTypeOf(absl::string_view name);

// "assets/index-Bq3xY_0a.js": what Vite names after its content.
bool IsHashedName(absl::string_view path);

}  // namespace drover::gateway
