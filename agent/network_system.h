// The machine's network as a change of it needs it: what is so by the kernel's own tables, which
// files say so, and the commands that bring the files into force.
//
// Thread promise: belongs to the event loop's thread; Apply and Ask never wait. Survives a restart:
// the files, and commands that are under way, which StopStrays ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agent/arp_probe.h"
#include "agent/child_process.h"
#include "agent/event_loop.h"
#include "agent/network_files.h"

namespace drover::agent {

// What the kernel has.
struct CardState {
  std::string card;
  std::string mac;
  // Address and netmask, the first one counts as the card's.
  std::vector<std::pair<std::string, std::string>> addresses;
  std::string gateway;
  std::vector<std::string> dns;
};

class NetworkSystem {
 public:
  virtual ~NetworkSystem() = default;
  // "" = the card that leads to the default gateway, else the first that is up.
  virtual CardState Read(const std::string& card) = 0;
  virtual FileTexts Files() = 0;
  virtual NetworkPrograms Programs() = 0;
  // Brings the files into force on the card, and takes `stale` away where the tool left it. `done`
  // once, from the loop. Ends what an earlier Apply has under way.
  virtual void Apply(NetworkTool tool, const std::string& card, const std::string& connection,
                     const std::string& stale, std::function<void(absl::Status)> done) = 0;
  // The settings themselves, whatever the tool thinks.
  virtual void ApplyDirectly(const CardSettings& settings,
                             std::function<void(absl::Status)> done) = 0;
  // Whether another machine says that it has the address. `done` once, from the loop.
  virtual void Ask(const std::string& card, const std::string& target, const std::string& source,
                   std::function<void(bool answered)> done) = 0;
  // Ends commands that an agent of before left running.
  virtual void StopStrays(std::function<void()> done) = 0;
};

class LinuxNetwork : public NetworkSystem {
 public:
  explicit LinuxNetwork(EventLoop* loop) : loop_(loop) {}
  ~LinuxNetwork() override;

  CardState Read(const std::string& card) override;
  FileTexts Files() override;
  NetworkPrograms Programs() override;
  void Apply(NetworkTool tool, const std::string& card, const std::string& connection,
             const std::string& stale, std::function<void(absl::Status)> done) override;
  void ApplyDirectly(const CardSettings& settings, std::function<void(absl::Status)> done) override;
  void Ask(const std::string& card, const std::string& target, const std::string& source,
           std::function<void(bool answered)> done) override;
  void StopStrays(std::function<void()> done) override;

 private:
  struct Run {
    std::unique_ptr<OutputFile> output;
    std::unique_ptr<ChildProcess> child;
    EventLoop::TimerId timeout = 0;
    std::function<void(absl::Status)> done;
  };
  void RunScript(const std::string& script, const std::vector<std::string>& arguments,
                 std::function<void(absl::Status)> done);
  void StartScript(const std::string& script, const std::vector<std::string>& arguments,
                   std::function<void(absl::Status)> done);
  void EndRun(const std::shared_ptr<Run>& run, const absl::Status& status);

  EventLoop* const loop_;
  std::shared_ptr<Run> run_;
  std::unique_ptr<ArpProbe> probe_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Pure: the commands of a tool, for "/bin/sh" with the card as $1, the connection as $2.
std::string ApplyScript(NetworkTool tool);

}  // namespace drover::agent
