// The vim25 methods Drover uses, typed as far as they need to be: properties with their pages, the
// property filter of a follower, tasks.
//
// Faults stay faults here (soap.h). Thread promise: all methods from any thread; no state but the
// session's.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controller/core/ports.h"
#include "controller/vsphere/session.h"
#include "controller/vsphere/soap.h"

namespace drover::vsphere {

// Properties of one type, by their paths.
struct PropertyPaths {
  std::string type;
  std::vector<std::string> paths;
};

// specSet / spec: the given objects themselves.
std::string ObjectsSpec(const std::vector<PropertyPaths>& properties,
                        const std::vector<MoRef>& objects);
// specSet / spec: everything a view shows.
std::string ViewSpec(const std::vector<PropertyPaths>& properties, const MoRef& view);

// One object of an answer (ObjectContent); valid as long as its answer.
class ObjectView {
 public:
  explicit ObjectView(pugi::xml_node node) : node_(node) {}
  MoRef ref() const { return ReadRef(node_.child("obj")); }
  // The "val" of a property; null when it is unset.
  pugi::xml_node Property(absl::string_view path) const;
  absl::string_view TextOf(absl::string_view path) const { return Text(Property(path)); }
  pugi::xml_node node() const { return node_; }

 private:
  pugi::xml_node node_;
};

// All pages of an answer.
class Objects {
 public:
  void Add(SoapReply page) { pages_.push_back(std::move(page)); }
  void ForEach(absl::FunctionRef<void(const ObjectView&)> visit) const;
  // The object with this reference; a null node inside when it is not there.
  ObjectView Find(const MoRef& ref) const;
  ObjectView First() const;
  bool empty() const { return !First().node(); }

 private:
  std::vector<SoapReply> pages_;
};

// Called as a task goes on, with percent 0 to 100.
using TaskProgress = std::function<void(int percent)>;

class VimClient {
 public:
  // Neither is owned.
  VimClient(Session* session, core::Clock* clock) : session_(session), clock_(clock) {}

  absl::StatusOr<SoapReply> Read(const MoRef& self, absl::string_view method,
                                 absl::string_view parameters, std::stop_token stop);
  absl::StatusOr<SoapReply> Change(const MoRef& self, absl::string_view method,
                                   absl::string_view parameters, std::stop_token stop);
  // The server's managers.
  absl::StatusOr<ServiceContent> Content(std::stop_token stop) { return session_->Content(stop); }

  // RetrievePropertiesEx with all its pages. A property nobody may read is absent.
  absl::StatusOr<Objects> Retrieve(absl::string_view spec, std::stop_token stop);
  absl::StatusOr<Objects> RetrieveOne(const MoRef& object, std::vector<std::string> paths,
                                      std::stop_token stop);
  // A view of everything of these types below the root folder.
  absl::StatusOr<MoRef> CreateView(const std::vector<std::string>& types, std::stop_token stop);
  void DestroyView(const MoRef& view);
  // Retrieve over a view made for it.
  absl::StatusOr<Objects> RetrieveAll(const std::vector<PropertyPaths>& properties,
                                      std::stop_token stop);

  // Starts a method that ends in _Task.
  absl::StatusOr<MoRef> StartTask(const MoRef& self, absl::string_view method,
                                  absl::string_view parameters, std::stop_token stop);
  // Text or reference the task returned. A failed task is its fault. When `stop` is requested the
  // task is cancelled on the server and its end awaited for a moment; then CANCELLED.
  // `asked_about`: a VM whose pending question ends the wait with fault QuestionPending, the text
  // being its message.
  absl::StatusOr<MoRef> AwaitTask(const MoRef& task, std::stop_token stop,
                                  const TaskProgress& progress = nullptr,
                                  const MoRef& asked_about = {});
  // Both, without memory of the task.
  absl::StatusOr<MoRef> RunTask(const MoRef& self, absl::string_view method,
                                absl::string_view parameters, std::stop_token stop);

  core::Clock* clock() { return clock_; }
  Session& session() { return *session_; }
  const std::string& host() const { return session_->host(); }

 private:
  void CancelTask(const MoRef& task);

  Session* const session_;
  core::Clock* const clock_;
};

// A pause that grows from moments to a second, so that short waits stay short and long ones cheap.
class Backoff {
 public:
  explicit Backoff(absl::Duration longest = absl::Seconds(1),
                   absl::Duration first = absl::Milliseconds(15))
      : next_(first), longest_(longest) {}
  absl::Duration Next();

 private:
  absl::Duration next_;
  const absl::Duration longest_;
};

}  // namespace drover::vsphere
