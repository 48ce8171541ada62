#include "controller/vsphere/vim_client.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::vsphere {
namespace {

// How long a cancelled task may take to end before nobody looks any more.
constexpr absl::Duration kCancelPatience = absl::Seconds(15);

std::string PropSets(const std::vector<PropertyPaths>& properties) {
  std::string text;
  for (const auto& one : properties) {
    std::string set = Xml("type", one.type);
    for (const auto& path : one.paths) absl::StrAppend(&set, Xml("pathSet", path));
    absl::StrAppend(&text, XmlOf("propSet", set));
  }
  return text;
}

// The session may be gone in a way that looks like an answer: every property missing.
bool SessionMissing(const SoapReply& page) {
  for (pugi::xml_node object : page.value().children("objects")) {
    for (pugi::xml_node missing : object.children("missingSet")) {
      return ReadFault(missing.child("fault")).type == "NotAuthenticated";
    }
  }
  return false;
}

absl::Status SessionGone() {
  Fault fault;
  fault.type = "NotAuthenticated";
  return FaultStatus(fault);
}

}  // namespace

std::string ObjectsSpec(const std::vector<PropertyPaths>& properties,
                        const std::vector<MoRef>& objects) {
  std::string text = PropSets(properties);
  for (const auto& object : objects) {
    absl::StrAppend(&text, XmlOf("objectSet", XmlRef("obj", object)));
  }
  return text;
}

std::string ViewSpec(const std::vector<PropertyPaths>& properties, const MoRef& view) {
  std::string traversal = XmlTyped("selectSet", "TraversalSpec",
                                   absl::StrCat(Xml("name", "view"), Xml("type", "ContainerView"),
                                                Xml("path", "view"), Xml("skip", false)));
  return absl::StrCat(
      PropSets(properties),
      XmlOf("objectSet", absl::StrCat(XmlRef("obj", view), Xml("skip", true), traversal)));
}

pugi::xml_node ObjectView::Property(absl::string_view path) const {
  for (pugi::xml_node set : node_.children("propSet")) {
    if (Text(set.child("name")) == path) return set.child("val");
  }
  return {};
}

void Objects::ForEach(absl::FunctionRef<void(const ObjectView&)> visit) const {
  for (const auto& page : pages_) {
    for (pugi::xml_node object : page.value().children("objects")) visit(ObjectView(object));
  }
}

ObjectView Objects::Find(const MoRef& ref) const {
  pugi::xml_node found;
  ForEach([&](const ObjectView& object) {
    if (!found && object.ref() == ref) found = object.node();
  });
  return ObjectView(found);
}

ObjectView Objects::First() const {
  for (const auto& page : pages_) {
    if (pugi::xml_node object = page.value().child("objects")) return ObjectView(object);
  }
  return ObjectView({});
}

absl::StatusOr<SoapReply> VimClient::Read(const MoRef& self, absl::string_view method,
                                          absl::string_view parameters, std::stop_token stop) {
  CallOptions options;
  options.timeout = absl::Seconds(120);
  options.stop = stop;
  return session_->Call(self, method, parameters, options);
}

absl::StatusOr<SoapReply> VimClient::Change(const MoRef& self, absl::string_view method,
                                            absl::string_view parameters, std::stop_token stop) {
  CallOptions options;
  options.stop = stop;
  options.changes = true;
  return session_->Call(self, method, parameters, options);
}

absl::StatusOr<Objects> VimClient::Retrieve(absl::string_view spec, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, Content(stop));
  MoRef collector = content.Manager("propertyCollector");
  std::string parameters = absl::StrCat(XmlOf("specSet", spec), "<options/>");
  for (int attempt = 0; attempt < 2; ++attempt) {
    int64_t generation = session_->generation();
    Objects objects;
    DROVER_ASSIGN_OR_RETURN(SoapReply page,
                            Read(collector, "RetrievePropertiesEx", parameters, stop));
    if (SessionMissing(page)) {
      session_->Lost(generation);
      continue;
    }
    while (true) {
      std::string token(TextAt(page.value(), "token"));
      objects.Add(std::move(page));
      if (token.empty()) return objects;
      DROVER_ASSIGN_OR_RETURN(
          page, Read(collector, "ContinueRetrievePropertiesEx", Xml("token", token), stop));
    }
  }
  return SessionGone();
}

absl::StatusOr<Objects> VimClient::RetrieveOne(const MoRef& object, std::vector<std::string> paths,
                                               std::stop_token stop) {
  return Retrieve(ObjectsSpec({{object.type, std::move(paths)}}, {object}), stop);
}

absl::StatusOr<MoRef> VimClient::CreateView(const std::vector<std::string>& types,
                                            std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, Content(stop));
  std::string parameters = XmlRef("container", content.Manager("rootFolder"));
  for (const auto& type : types) absl::StrAppend(&parameters, Xml("type", type));
  absl::StrAppend(&parameters, Xml("recursive", true));
  DROVER_ASSIGN_OR_RETURN(SoapReply reply, Read(content.Manager("viewManager"),
                                                "CreateContainerView", parameters, stop));
  return ReadRef(reply.value());
}

void VimClient::DestroyView(const MoRef& view) {
  CallOptions options;
  options.timeout = absl::Seconds(10);
  session_->Call(view, "DestroyView", "", options).IgnoreError();
}

absl::StatusOr<Objects> VimClient::RetrieveAll(const std::vector<PropertyPaths>& properties,
                                               std::stop_token stop) {
  std::vector<std::string> types;
  for (const auto& one : properties) types.push_back(one.type);
  // A view dies with its session: when that ended between the two calls, both are made again.
  for (int attempt = 0;; ++attempt) {
    DROVER_ASSIGN_OR_RETURN(MoRef view, CreateView(types, stop));
    auto objects = Retrieve(ViewSpec(properties, view), stop);
    if (attempt == 0 && IsFault(objects.status(), "ManagedObjectNotFound")) continue;
    DestroyView(view);
    return objects;
  }
}

absl::StatusOr<MoRef> VimClient::StartTask(const MoRef& self, absl::string_view method,
                                           absl::string_view parameters, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(SoapReply reply, Change(self, method, parameters, stop));
  return ReadRef(reply.value());
}

absl::StatusOr<MoRef> VimClient::AwaitTask(const MoRef& task, std::stop_token stop,
                                           const TaskProgress& progress, const MoRef& asked_about) {
  std::vector<PropertyPaths> properties = {
      {"Task", {"info.state", "info.progress", "info.error", "info.result"}}};
  std::vector<MoRef> subjects = {task};
  if (!asked_about.empty()) {
    properties.push_back({asked_about.type, {"runtime.question"}});
    subjects.push_back(asked_about);
  }
  std::string spec = ObjectsSpec(properties, subjects);
  Backoff pause;
  absl::Time give_up = absl::InfiniteFuture();
  while (true) {
    if (stop.stop_requested() && give_up == absl::InfiniteFuture()) {
      CancelTask(task);
      give_up = clock_->Now() + kCancelPatience;
    }
    DROVER_ASSIGN_OR_RETURN(Objects objects, Retrieve(spec, {}));
    ObjectView info = objects.Find(task);
    absl::string_view state = info.TextOf("info.state");
    if (give_up != absl::InfiniteFuture() &&
        (state == "success" || state == "error" || clock_->Now() >= give_up)) {
      return absl::CancelledError("cancelled");
    }
    if (state == "success") return ReadRef(info.Property("info.result"));
    if (state == "error") return FaultStatus(ReadFault(info.Property("info.error")));
    if (!asked_about.empty()) {
      pugi::xml_node question = objects.Find(asked_about).Property("runtime.question");
      if (question) {
        Fault fault;
        fault.type = "QuestionPending";
        fault.message = std::string(TextAt(question, "text"));
        return FaultStatus(fault);
      }
    }
    if (progress) progress(static_cast<int>(IntAt(info.Property("info.progress"), "")));
    // Its result says whether it was cut short; the top of the loop sees the wish itself.
    bool cancelling = give_up != absl::InfiniteFuture();
    clock_->Sleep(pause.Next(), cancelling ? std::stop_token() : stop).IgnoreError();
  }
}

absl::StatusOr<MoRef> VimClient::RunTask(const MoRef& self, absl::string_view method,
                                         absl::string_view parameters, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(MoRef task, StartTask(self, method, parameters, stop));
  return AwaitTask(task, stop);
}

void VimClient::CancelTask(const MoRef& task) {
  CallOptions options;
  options.timeout = absl::Seconds(10);
  // Not every task can be cancelled; then its end is awaited.
  session_->Call(task, "CancelTask", "", options).IgnoreError();
}

absl::Duration Backoff::Next() {
  absl::Duration now = next_;
  next_ = std::min(next_ * 3 / 2, longest_);
  return now;
}

}  // namespace drover::vsphere
