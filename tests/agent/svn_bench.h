// A working copy of a real repository and the client that looks after it, for tests: "app.py" and
// "util.py" at the second revision, another "app.py" at the third.
//
// Thread promise: one thread.
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/svn_client.h"
#include "gtest/gtest.h"
#include "tests/agent/svn_server.h"
#include "tests/agent/test_loop.h"
#include "tests/testing/temp_dir.h"

namespace drover::agent {

struct Outcome {
  absl::Status status;
  v1::CommandUpdate details;
};

class SvnBench : public ::testing::Test {
 protected:
  SvnBench() : server_(Folder("server")), copy_(dir_.File("copy")) {
    Restart();
    server_.Commit("app.py", "one\ntwo\nthree\nfour\nfive\n");
    second_ = server_.Commit("util.py", "util\n", "add a tool\n\nit is | small");
    server_.CheckOut(copy_, second_);
    third_ = server_.Commit("app.py", "one\ntwo\nthree\nfour\nFIVE\n", "louder");
  }
  ~SvnBench() override {
    work_.reset();
    client_.reset();
    EndAllWith(dir_.path());
  }

  std::string Folder(const std::string& name) {
    const std::string path = dir_.File(name);
    mkdir(path.c_str(), 0755);
    return path;
  }
  // As when the agent ends and comes back: its children live on.
  void Restart() {
    work_.reset();
    client_ = std::make_unique<SvnClient>(&loop_.loop, Folder("state"));
  }

  v1::SvnWorkingCopy Copy() const {
    v1::SvnWorkingCopy copy;
    copy.set_id("app");
    copy.set_path(copy_);
    copy.set_url(server_.trunk());
    copy.set_user(SvnServer::kUser);
    copy.set_password(SvnServer::kPassword);
    return copy;
  }
  v1::UpdateWorkingCopies To(int64_t revision,
                             drover::v1::RolloutSpec::LocalEdits edits =
                                 drover::v1::RolloutSpec::LOCAL_EDITS_REFUSE) const {
    v1::UpdateWorkingCopies order;
    *order.add_targets()->mutable_working_copy() = Copy();
    order.mutable_targets(0)->set_revision(revision);
    order.set_local_edits(edits);
    return order;
  }

  OrderVoice Voice() {
    outcome_.reset();
    output_.clear();
    return {[this](const absl::Status& status, v1::CommandUpdate details) {
              outcome_ = Outcome{status, std::move(details)};
            },
            [this](absl::string_view piece) { output_.append(piece.data(), piece.size()); }};
  }
  void Begin(const v1::UpdateWorkingCopies& order) {
    auto work = client_->Update(order, Voice());
    ASSERT_TRUE(work.ok()) << work.status();
    work_ = *std::move(work);
  }
  Outcome Await() {
    loop_.UntilAdvancing(absl::Milliseconds(5), [&] { return outcome_.has_value(); });
    work_.reset();
    return *outcome_;
  }
  Outcome Update(const v1::UpdateWorkingCopies& order) {
    Begin(order);
    return Await();
  }
  v1::WorkingCopyState Look() {
    v1::ReadWorkingCopies order;
    *order.add_working_copies() = Copy();
    auto work = client_->Read(order, Voice());
    EXPECT_TRUE(work.ok()) << work.status();
    work_ = *std::move(work);
    const Outcome outcome = Await();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    return outcome.details.working_copies().working_copies(0);
  }
  Outcome Revisions(v1::ReadRevisions order) {
    if (!order.has_working_copy()) *order.mutable_working_copy() = Copy();
    auto work = client_->ReadRevisions(order, Voice());
    EXPECT_TRUE(work.ok()) << work.status();
    work_ = *std::move(work);
    return Await();
  }
  std::string FileOf(const std::string& name) { return testing::ReadFile(copy_ + "/" + name); }
  void Edit(const std::string& name, const std::string& contents) {
    testing::WriteFile(copy_ + "/" + name, contents);
  }
  std::vector<std::string> SavedFolders() {
    std::vector<std::string> names;
    if (DIR* folder = opendir((dir_.path() + "/state/saved-edits").c_str())) {
      while (const dirent* entry = readdir(folder)) {
        if (entry->d_name[0] != '.')
          names.push_back(dir_.path() + "/state/saved-edits/" + entry->d_name);
      }
      closedir(folder);
    }
    return names;
  }

  testing::TempDir dir_;
  TestLoop loop_;
  SvnServer server_;
  const std::string copy_;
  int64_t second_ = 0;
  int64_t third_ = 0;
  std::unique_ptr<SvnClient> client_;
  std::unique_ptr<OrderWork> work_;
  std::optional<Outcome> outcome_;
  std::string output_;
};

}  // namespace drover::agent
