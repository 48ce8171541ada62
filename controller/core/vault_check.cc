#include "controller/core/vault_check.h"

#include <string>

#include "proto/support/status.h"

namespace drover::core {
namespace {

constexpr char kKey[] = "vault_mark";
constexpr char kMark[] = "drover";
constexpr char kPurpose[] = "vault mark";

}  // namespace

absl::Status CheckVault(Store& store, Vault& vault) {
  DROVER_ASSIGN_OR_RETURN(const std::string fresh, vault.Seal(kMark, kPurpose));
  std::string kept;
  DROVER_RETURN_IF_ERROR(store.Write([&](StoreWriter& writer) -> absl::Status {
    absl::StatusOr<Document> document = writer.Get(Table::kSettings, kKey);
    if (absl::IsNotFound(document.status())) {
      kept = fresh;
      return writer.Put(Table::kSettings, {kKey, "", fresh});
    }
    if (!document.ok()) return document.status();
    kept = document->body;
    return absl::OkStatus();
  }));
  absl::StatusOr<std::string> opened = vault.Unseal(kept, kPurpose);
  if (opened.ok() && *opened == kMark) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "WRONG_KEY_FILE",
                   "the key file is not the one this store was written with; put the right one in "
                   "its place, or the passwords in the store cannot be read");
}

}  // namespace drover::core
