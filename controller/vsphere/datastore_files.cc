#include "controller/vsphere/datastore_files.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/support/status.h"

namespace drover::vsphere {

absl::StatusOr<bool> DatastoreFileExists(VimClient& client, const MoRef& browser,
                                         absl::string_view path, std::stop_token stop) {
  size_t slash = path.rfind('/');
  size_t bracket = path.find(']');
  if (bracket == absl::string_view::npos) return InvalidField("path", "is no datastore path");
  absl::string_view folder, name;
  if (slash == absl::string_view::npos || slash < bracket) {
    folder = path.substr(0, bracket + 1);
    name = absl::string_view(path).substr(std::min(bracket + 2, path.size()));
  } else {
    folder = path.substr(0, slash);
    name = path.substr(slash + 1);
  }
  std::string details =
      XmlOf("details", absl::StrCat(Xml("fileType", true), Xml("fileSize", false),
                                    Xml("modification", false), Xml("fileOwner", false)));
  DROVER_ASSIGN_OR_RETURN(
      MoRef task,
      client.StartTask(browser, "SearchDatastore_Task",
                       absl::StrCat(Xml("datastorePath", folder),
                                    XmlOf("searchSpec", details + Xml("matchPattern", name))),
                       stop));
  absl::Status status = client.AwaitTask(task, stop).status();
  if (IsFault(status, "FileNotFound")) return false;
  DROVER_RETURN_IF_ERROR(status);
  DROVER_ASSIGN_OR_RETURN(Objects objects, client.RetrieveOne(task, {"info.result"}, stop));
  for (pugi::xml_node file : objects.First().Property("info.result").children("file")) {
    if (TextAt(file, "path") == name) return true;
  }
  return false;
}

absl::Status DeleteDatastoreFolder(VimClient& client, absl::string_view path,
                                   std::stop_token stop) {
  size_t bracket = path.find("] ");
  if (bracket == absl::string_view::npos || bracket + 2 >= path.size() ||
      absl::StrContains(path, "..") || absl::EndsWith(path, "/")) {
    return InvalidField("path", absl::StrCat("\"", path, "\" is no folder below a datastore"));
  }
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client.Content(stop));
  absl::Status status = client
                            .RunTask(content.Manager("fileManager"), "DeleteDatastoreFile_Task",
                                     Xml("name", path), stop)
                            .status();
  return IsFault(status, "FileNotFound") ? absl::OkStatus() : status;
}

absl::Status DeleteDisk(VimClient& client, absl::string_view path, std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(ServiceContent content, client.Content(stop));
  absl::Status status = client
                            .RunTask(content.Manager("virtualDiskManager"),
                                     "DeleteVirtualDisk_Task", Xml("name", path), stop)
                            .status();
  return IsFault(status, "FileNotFound") ? absl::OkStatus() : status;
}

absl::StatusOr<MoRef> BrowserOf(VimClient& client, absl::string_view datastore,
                                std::stop_token stop) {
  DROVER_ASSIGN_OR_RETURN(Objects objects,
                          client.RetrieveAll({{"Datastore", {"name", "browser"}}}, stop));
  MoRef browser;
  objects.ForEach([&](const ObjectView& object) {
    if (UnescapeName(object.TextOf("name")) == datastore) {
      browser = ReadRef(object.Property("browser"));
    }
  });
  if (!browser.empty()) return browser;
  return MakeError(absl::StatusCode::kFailedPrecondition, "DATASTORE_NOT_FOUND",
                   absl::StrCat(client.host(), " has no datastore ", datastore));
}

}  // namespace drover::vsphere
