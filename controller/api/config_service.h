// ConfigService: profiles, and configurations checked, planned, applied and restored.
//
// Thread promise: Register once; the handlers run on the server's workers.
#pragma once

#include "controller/api/dispatcher.h"
#include "controller/core/configurations.h"
#include "controller/core/profiles.h"

namespace drover::api {

// Both outlive the dispatcher.
void RegisterConfigService(Dispatcher& dispatcher, core::Profiles* profiles,
                           core::Configurations* configurations);

}  // namespace drover::api
