// Who may run next: which operation has each VM, who waits for it, how many run on a lane and of a
// batch (OPS-2, P13, P14).
//
// A VM belongs to the oldest open operation that names it, whether that runs yet or not, so that
// changes of a VM happen in the order they were asked for, and nobody can wait in a circle.
//
// Thread promise: none; the owner guards it. Nothing here survives a restart: the owner adds what
// is open again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace drover::core {

class OperationQueue {
 public:
  struct Item {
    // Sorts by age.
    std::string id;
    std::vector<std::string> holds;
    // Limited resource it uses, "" = none.
    std::string lane;
    // "" without one.
    std::string parent;
    // It ran before.
    bool begun = false;
  };

  // At most `per_lane` operations run of one lane, and `per_batch` of one parent.
  OperationQueue(int per_lane, int per_batch);

  // The item has its place in every queue from now on, but may not run before Open.
  void Add(Item item);
  void Open(absl::string_view id);
  // Not before the next Open.
  void Close(absl::string_view id);
  // Of one parent's children at most so many have begun and not ended, whether they run or were put
  // back; 0 = no such limit.
  void SetAtOnce(absl::string_view parent, int at_once);
  // The oldest item that may run now; it counts as running until PutBack or Remove.
  std::optional<std::string> Take();
  bool CanTake() const;
  // Ends running; the item keeps its place and is closed.
  void PutBack(absl::string_view id);
  void Remove(absl::string_view id);

  // Holder first, then those that wait, oldest first.
  std::vector<std::string> QueueOf(absl::string_view vm) const;
  // The items ahead of this one at its VMs that it waits for: the holders, without itself.
  std::vector<std::string> WaitsFor(absl::string_view id) const;
  int running() const { return running_; }

 private:
  struct Entry {
    Item item;
    bool open = false;
    bool running = false;
  };
  std::optional<std::string> FindNext() const;
  bool MayRun(const Entry& entry) const;
  void StopRunning(Entry& entry);
  static int Count(const absl::flat_hash_map<std::string, int>& counts, const std::string& key);

  const int per_lane_;
  const int per_batch_;
  std::map<std::string, Entry, std::less<>> entries_;
  // Open and not running, by age.
  std::set<std::string, std::less<>> candidates_;
  absl::flat_hash_map<std::string, std::set<std::string>> by_vm_;
  absl::flat_hash_map<std::string, int> running_of_lane_;
  absl::flat_hash_map<std::string, int> running_of_parent_;
  absl::flat_hash_map<std::string, int> begun_of_parent_;
  absl::flat_hash_map<std::string, int> at_once_;
  int running_ = 0;
};

}  // namespace drover::core
