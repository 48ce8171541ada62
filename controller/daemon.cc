#include "controller/daemon.h"

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "controller/agents/agent_directory.h"
#include "controller/agents/authority.h"
#include "controller/agents/enrolment.h"
#include "controller/agents/link_server.h"
#include "controller/agents/server_certificate.h"
#include "controller/api/activity_service.h"
#include "controller/api/call_log.h"
#include "controller/api/config_service.h"
#include "controller/api/dispatcher.h"
#include "controller/api/gateway_key.h"
#include "controller/api/guest_service.h"
#include "controller/api/inventory_service.h"
#include "controller/api/log_service.h"
#include "controller/api/operation_service.h"
#include "controller/api/people_service.h"
#include "controller/api/platform_service.h"
#include "controller/api/server.h"
#include "controller/api/upgrade_service.h"
#include "controller/api/vm_service.h"
#include "controller/core/agent_facts.h"
#include "controller/core/alert_desk.h"
#include "controller/core/automatic_upgrades.h"
#include "controller/core/change_hub.h"
#include "controller/core/command_tracker.h"
#include "controller/core/configurations.h"
#include "controller/core/event_log.h"
#include "controller/core/guest_operations.h"
#include "controller/core/guest_passwords.h"
#include "controller/core/guest_repair.h"
#include "controller/core/host_usage.h"
#include "controller/core/hypervisor_estate.h"
#include "controller/core/inventory.h"
#include "controller/core/mail_queue.h"
#include "controller/core/network_operations.h"
#include "controller/core/operation_events.h"
#include "controller/core/operation_runner.h"
#include "controller/core/people.h"
#include "controller/core/platform_health.h"
#include "controller/core/profiles.h"
#include "controller/core/reachability.h"
#include "controller/core/request_ledger.h"
#include "controller/core/rollouts.h"
#include "controller/core/user_records.h"
#include "controller/core/vault_check.h"
#include "controller/core/vm_operations.h"
#include "controller/core/working_copies.h"
#include "controller/mail/smtp_mailer.h"
#include "controller/profile_files.h"
#include "controller/reach/icmp_prober.h"
#include "controller/secrets/openssl_vault.h"
#include "controller/store/sample_store.h"
#include "controller/store/sqlite_store.h"
#include "controller/system_clock.h"
#include "controller/system_facts.h"
#include "controller/vsphere/connector.h"
#include "proto/support/log.h"
#include "proto/support/status.h"

namespace drover {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(10);

// Names this controller's data on the hypervisors it talks to.
absl::StatusOr<std::string> InstallationOf(core::Store& store, core::Vault& vault) {
  constexpr char kSetting[] = "installation";
  std::string installation;
  DROVER_RETURN_IF_ERROR(store.Write([&](core::StoreWriter& writer) -> absl::Status {
    const absl::StatusOr<core::Document> known = writer.Get(core::Table::kSettings, kSetting);
    if (known.ok()) {
      installation = known->body;
      return absl::OkStatus();
    }
    if (!absl::IsNotFound(known.status())) return known.status();
    installation = absl::BytesToHexString(vault.RandomBytes(8));
    return writer.Insert(core::Table::kSettings, {kSetting, "", installation});
  }));
  return installation;
}

// The first line of a file that nobody else may read.
absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " can be read by others; chmod 600 it"));
  }
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is empty or cannot be read"));
  }
  return std::string(absl::StripTrailingAsciiWhitespace(line));
}

absl::StatusOr<mail::SmtpOptions> MailOptionsOf(const Config& config) {
  mail::SmtpOptions options;
  absl::string_view server = config.smtp;
  if (absl::ConsumePrefix(&server, "smtps://")) {
    options.security = mail::Security::kTls;
  } else {
    absl::ConsumePrefix(&server, "smtp://");
    options.security = !config.mail_starttls.has_value() ? mail::Security::kOpportunistic
                       : *config.mail_starttls           ? mail::Security::kStartTls
                                                         : mail::Security::kNone;
  }
  options.server = std::string(absl::StripSuffix(server, "/"));
  options.from = config.mail_from;
  options.user = config.mail_user;
  if (!config.mail_password_file.empty()) {
    DROVER_ASSIGN_OR_RETURN(options.password, ReadSecretFile(config.mail_password_file));
  }
  return options;
}

}  // namespace

// In the order in which they need one another; destroyed in reverse.
class Daemon::Parts {
 public:
  explicit Parts(const Config& config) : config_(config) {}
  ~Parts() { Stop(); }

  absl::Status Open();
  absl::Status Start();
  void Stop();
  void Maintain();
  const std::optional<std::string>& first_password() const { return first_password_; }
  std::string authority_fingerprint() const { return authority_->Fingerprint(); }

 private:
  absl::Status OpenStore();
  absl::Status OpenMail();
  absl::Status OpenAgents();
  absl::Status OpenOperations();
  absl::Status OpenUpgrades();
  absl::Status OpenConfigurations();
  void OpenFeed();
  void OpenServices();
  void OpenApi();
  core::HealthSources HealthSourcesOf();
  int CountRunning();
  void WriteAgentLog(drover::v1::LogEntry entry);
  api::Gate NewGate();

  const Config config_;
  SystemClock clock_;
  std::unique_ptr<core::Vault> vault_;
  std::unique_ptr<core::Store> store_;
  std::unique_ptr<store::SqliteSampleStore> samples_;
  std::unique_ptr<core::EventLog> events_;
  std::unique_ptr<core::People> people_;
  std::unique_ptr<core::RequestLedger> ledger_;
  std::string gateway_key_;
  std::optional<std::string> first_password_;

  std::unique_ptr<core::Prober> prober_;
  std::unique_ptr<core::Inventory> inventory_;
  std::unique_ptr<vsphere::VsphereConnector> connector_;
  // Asked by the estate's threads.
  std::unique_ptr<core::HostUsage> host_usage_;
  std::unique_ptr<core::HypervisorEstate> estate_;

  std::unique_ptr<core::Mailer> mailer_;
  // Null without a mail server.
  std::unique_ptr<core::MailQueue> mails_;
  std::unique_ptr<core::AlertDesk> alerts_;
  std::unique_ptr<core::CommandTracker> commands_;
  std::unique_ptr<core::AgentFacts> facts_;
  std::unique_ptr<agents::Authority> authority_;
  std::unique_ptr<agents::ServerCertificate> certificate_;
  std::unique_ptr<agents::Enrolment> enrolment_;
  std::unique_ptr<agents::AgentDirectory> directory_;

  std::unique_ptr<core::VmOperations> vm_operations_;
  std::unique_ptr<core::OperationRunner> runner_;
  std::unique_ptr<core::GuestOperations> guest_operations_;
  std::unique_ptr<core::NetworkOperations> network_operations_;
  std::unique_ptr<core::GuestPasswords> guest_passwords_;
  std::unique_ptr<core::GuestRepair> guest_repair_;
  std::unique_ptr<core::WorkingCopies> working_copies_;
  std::unique_ptr<core::Rollouts> rollouts_;
  std::unique_ptr<core::AutomaticUpgrades> automatic_upgrades_;
  std::unique_ptr<core::Profiles> profiles_;
  std::unique_ptr<core::Configurations> configurations_;
  std::unique_ptr<core::ReachabilitySweep> sweep_;
  std::unique_ptr<core::ChangeHub> hub_;
  std::unique_ptr<core::PlatformHealth> health_;

  std::unique_ptr<api::CallLog> call_log_;
  std::unique_ptr<api::Dispatcher> dispatcher_;
  std::unique_ptr<api::InventoryService> inventory_service_;
  std::unique_ptr<api::VmService> vm_service_;
  std::unique_ptr<api::OperationService> operation_service_;
  std::unique_ptr<api::GuestService> guest_service_;
  std::unique_ptr<api::UpgradeService> upgrade_service_;
  std::unique_ptr<api::ActivityService> activity_service_;
  std::unique_ptr<api::PlatformService> platform_service_;

  std::unique_ptr<agents::LinkServer> link_server_;
  std::unique_ptr<api::Server> server_;
  bool started_ = false;
};

absl::Status Daemon::Parts::OpenStore() {
  DROVER_ASSIGN_OR_RETURN(store_, store::SqliteStore::Open(config_.directory, clock_));
  DROVER_ASSIGN_OR_RETURN(vault_, secrets::OpenSslVault::Open(config_.directory + "/drover.key"));
  DROVER_RETURN_IF_ERROR(core::CheckVault(*store_, *vault_));
  events_ = std::make_unique<core::EventLog>(store_.get(), vault_.get(), &clock_,
                                             config_.directory + "/log-backups");
  people_ = std::make_unique<core::People>(store_.get(), vault_.get(), &clock_);
  DROVER_ASSIGN_OR_RETURN(first_password_, people_->Start());
  DROVER_ASSIGN_OR_RETURN(gateway_key_,
                          api::OpenGatewayKey(config_.directory + "/gateway.key", [this] {
                            return absl::BytesToHexString(vault_->RandomBytes(32));
                          }));
  ledger_ = std::make_unique<core::RequestLedger>(store_.get(), vault_.get(), &clock_);
  inventory_ = std::make_unique<core::Inventory>(store_.get(), vault_.get(), &clock_);
  DROVER_ASSIGN_OR_RETURN(samples_, store::SqliteSampleStore::Open(config_.directory, &clock_));
  return inventory_->Load();
}

absl::Status Daemon::Parts::OpenMail() {
  if (config_.smtp.empty()) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(mail::SmtpOptions options, MailOptionsOf(config_));
  mailer_ = std::make_unique<mail::SmtpMailer>(std::move(options), &clock_);
  mails_ = std::make_unique<core::MailQueue>(store_.get(), vault_.get(), mailer_.get(),
                                             events_.get(), &clock_);
  alerts_ = std::make_unique<core::AlertDesk>(store_.get(), vault_.get(), inventory_.get(),
                                              mails_.get(), &clock_);
  alerts_->Attend(events_.get());
  return alerts_->DropLeftovers();
}

absl::Status Daemon::Parts::OpenAgents() {
  commands_ = std::make_unique<core::CommandTracker>(store_.get(), vault_.get(), &clock_);
  DROVER_RETURN_IF_ERROR(commands_->Load());
  facts_ = std::make_unique<core::AgentFacts>(store_.get(), inventory_.get(), events_.get(),
                                              commands_.get(), &clock_);
  if (!config_.agent_relay.empty()) {
    facts_->SetMailRelay({config_.agent_relay, config_.mail_from,
                          absl::Seconds(config_.agent_relay_after_seconds),
                          [this](absl::string_view address) -> std::string {
                            const auto language = core::LanguageOfAddress(*store_, address);
                            return language.ok() && !language->empty() ? *language : "en";
                          }});
  }
  DROVER_ASSIGN_OR_RETURN(authority_, agents::Authority::Open(store_.get(), vault_.get(), &clock_));
  certificate_ = std::make_unique<agents::ServerCertificate>(
      authority_.get(), &clock_, config_.directory + "/tls", CertificateNames(config_));
  DROVER_RETURN_IF_ERROR(certificate_->Refresh());
  enrolment_ = std::make_unique<agents::Enrolment>(
      store_.get(), vault_.get(), &clock_, authority_.get(), config_.agents_address,
      [this](drover::v1::LogEntry entry) { WriteAgentLog(std::move(entry)); });
  agents::DirectoryOptions options;
  options.heartbeat = absl::Seconds(config_.heartbeat_seconds);
  options.sample_seconds = config_.sample_seconds;
  directory_ = std::make_unique<agents::AgentDirectory>(options, enrolment_.get(), &clock_);
  directory_->SetListener(facts_.get());
  facts_->SetGateway(directory_.get());
  facts_->SetSamples(samples_.get());
  commands_->SetGateway(directory_.get());
  return absl::OkStatus();
}

// Agents know their VM by its uid; people do not.
void Daemon::Parts::WriteAgentLog(drover::v1::LogEntry entry) {
  if (const auto vm = inventory_->GetVmByUid(entry.resource_name()); vm.ok()) {
    entry.set_resource_name(vm->name());
    entry.set_vm(vm->name());
    entry.set_vm_type(vm->type());
    entry.set_environment(vm->environment());
  }
  if (const absl::Status status = events_->Log(std::move(entry)); !status.ok()) {
    LogError("the platform log could not be written: ", status.message());
  }
}

absl::Status Daemon::Parts::OpenOperations() {
  DROVER_ASSIGN_OR_RETURN(const std::string installation, InstallationOf(*store_, *vault_));
  connector_ = std::make_unique<vsphere::VsphereConnector>(&clock_, installation);
  estate_ = std::make_unique<core::HypervisorEstate>(connector_.get(), inventory_.get(),
                                                     events_.get(), &clock_);
  host_usage_ = std::make_unique<core::HostUsage>(inventory_.get(), samples_.get(),
                                                  directory_.get(), &clock_);
  estate_->OnEveryMinute([this](absl::string_view name, core::Hypervisor& host,
                                std::stop_token stop) { host_usage_->Read(name, host, stop); });
  DROVER_ASSIGN_OR_RETURN(prober_, reach::IcmpProber::Open());
  core::VmWorld world;
  world.inventory = inventory_.get();
  world.estate = estate_.get();
  world.agents = directory_.get();
  world.commands = commands_.get();
  world.prober = prober_.get();
  world.vault = vault_.get();
  world.clock = &clock_;
  core::GuestSetupOptions guest;
  guest.agent_program = config_.agent_binary;
  guest.tools_patience = absl::Seconds(config_.guest_tools_seconds);
  guest.agent_patience = absl::Seconds(config_.guest_agent_seconds);
  vm_operations_ = std::make_unique<core::VmOperations>(world, std::move(guest));
  core::RunnerLimits limits;
  limits.workers = config_.operation_workers;
  runner_ = std::make_unique<core::OperationRunner>(store_.get(), vault_.get(), &clock_, limits);
  vm_operations_->Register(*runner_);
  guest_operations_ = std::make_unique<core::GuestOperations>(
      inventory_.get(), commands_.get(), directory_.get(), runner_.get(), &clock_);
  guest_operations_->Register();
  network_operations_ = std::make_unique<core::NetworkOperations>(world, &vm_operations_->guest(),
                                                                  runner_.get(), events_.get());
  network_operations_->Register();
  guest_passwords_ = std::make_unique<core::GuestPasswords>(world, &vm_operations_->guest(),
                                                            runner_.get(), events_.get());
  guest_passwords_->Register();
  guest_repair_ = std::make_unique<core::GuestRepair>(world, &vm_operations_->guest(),
                                                      runner_.get(), events_.get());
  guest_repair_->Register();
  DROVER_RETURN_IF_ERROR(OpenConfigurations());
  core::LogEnds(*runner_, events_.get());
  inventory_->SetQueueOf([this](absl::string_view vm) { return runner_->QueueOf(vm); });
  return absl::OkStatus();
}

absl::Status Daemon::Parts::OpenUpgrades() {
  working_copies_ = std::make_unique<core::WorkingCopies>(
      store_.get(), inventory_.get(), commands_.get(), directory_.get(), &clock_);
  working_copies_->Follow();
  rollouts_ = std::make_unique<core::Rollouts>(inventory_.get(), working_copies_.get(),
                                               commands_.get(), directory_.get(), runner_.get());
  rollouts_->Register();
  core::AutomaticUpgrades::Options options;
  // As the gateway's, for the hooks of repositories.
  DROVER_ASSIGN_OR_RETURN(options.hook_key,
                          api::OpenGatewayKey(config_.directory + "/hook.key", [this] {
                            return absl::BytesToHexString(vault_->RandomBytes(32));
                          }));
  automatic_upgrades_ = std::make_unique<core::AutomaticUpgrades>(
      store_.get(), inventory_.get(), rollouts_.get(), runner_.get(), events_.get(), vault_.get(),
      &clock_, std::move(options));
  return absl::OkStatus();
}

absl::Status Daemon::Parts::OpenConfigurations() {
  DROVER_ASSIGN_OR_RETURN(const std::vector<drover::v1::Profile> built_in,
                          ReadProfiles(ProfilesFolder(config_.profiles)));
  profiles_ = std::make_unique<core::Profiles>(store_.get(), built_in);
  DROVER_RETURN_IF_ERROR(profiles_->Load());
  configurations_ = std::make_unique<core::Configurations>(inventory_.get(), profiles_.get(),
                                                           commands_.get(), directory_.get(),
                                                           runner_.get(), store_.get(), &clock_);
  configurations_->Register();
  return absl::OkStatus();
}

// Whatever happens or changes anywhere comes past the hub.
void Daemon::Parts::OpenFeed() {
  sweep_ = std::make_unique<core::ReachabilitySweep>(prober_.get(), store_.get(), inventory_.get(),
                                                     events_.get(), &clock_,
                                                     absl::Seconds(config_.sweep_seconds));
  hub_ = std::make_unique<core::ChangeHub>(&clock_, [this](absl::string_view name) {
    const auto vm = inventory_->GetVm(name);
    return vm.ok() ? vm->environment() : std::string();
  });
  events_->OnEvent([this](const drover::v1::Event& event) { hub_->PublishEvent(event); });
  inventory_->OnChange(
      [this](absl::string_view name, bool deleted) { hub_->PublishChange(name, deleted); });
  runner_->OnChange([this](absl::string_view name) { hub_->PublishChange(name, false); });
}

api::Gate Daemon::Parts::NewGate() {
  api::Gate gate;
  gate.authenticate = [this](absl::string_view token, absl::string_view address) {
    return people_->Authenticate(token, address);
  };
  gate.recall = [this](const core::Caller& caller, absl::string_view method,
                       absl::string_view request_id, const google::protobuf::Message& request) {
    return ledger_->Recall(caller, method, request_id, request);
  };
  gate.remember = [this](const core::Caller& caller, absl::string_view method,
                         absl::string_view request_id, const google::protobuf::Message& request,
                         const google::protobuf::Message& response) {
    return ledger_->Remember(caller, method, request_id, request, response);
  };
  return gate;
}

void Daemon::Parts::OpenServices() {
  api::RegisterPeopleService(*dispatcher_, people_.get());
  api::RegisterLogService(*dispatcher_, events_.get());
  inventory_service_ = std::make_unique<api::InventoryService>(inventory_.get(), estate_.get());
  inventory_service_->Register(*dispatcher_);
  vm_service_ =
      std::make_unique<api::VmService>(inventory_.get(), vm_operations_.get(), runner_.get());
  vm_service_->Register(*dispatcher_);
  operation_service_ = std::make_unique<api::OperationService>(runner_.get());
  operation_service_->Register(*dispatcher_);
  api::GuestService::Parts guest;
  guest.inventory = inventory_.get();
  guest.guests = guest_operations_.get();
  guest.network = network_operations_.get();
  guest.passwords = guest_passwords_.get();
  guest.repair = guest_repair_.get();
  guest.samples = samples_.get();
  guest.clock = &clock_;
  guest_service_ = std::make_unique<api::GuestService>(guest);
  guest_service_->Register(*dispatcher_);
  upgrade_service_ = std::make_unique<api::UpgradeService>(
      working_copies_.get(), rollouts_.get(), automatic_upgrades_.get(), operation_service_.get());
  upgrade_service_->Register(*dispatcher_);
  api::RegisterConfigService(*dispatcher_, profiles_.get(), configurations_.get());
  activity_service_ = std::make_unique<api::ActivityService>(
      inventory_.get(), events_.get(), hub_.get(), sweep_.get(), [this] { return CountRunning(); });
  activity_service_->Register(*dispatcher_);
  health_ = std::make_unique<core::PlatformHealth>(HealthSourcesOf());
  platform_service_ = std::make_unique<api::PlatformService>(health_.get(), store_.get(),
                                                             mailer_.get(), config_.smtp);
  platform_service_->Register(*dispatcher_);
}

core::HealthSources Daemon::Parts::HealthSourcesOf() {
  core::HealthSources sources;
  sources.store = store_.get();
  sources.inventory = inventory_.get();
  sources.events = events_.get();
  sources.runner = runner_.get();
  sources.sweep = sweep_.get();
  sources.clock = &clock_;
  sources.sweep_interval = absl::Seconds(config_.sweep_seconds);
  sources.mail_server = config_.smtp;
  sources.version = DROVER_VERSION;
  sources.disk = [this] { return DiskOf(config_.directory); };
  sources.clock_synchronised = ClockIsSynchronised;
  return sources;
}

// Operations of their own that are under way; a page is more than ever run at a time.
int Daemon::Parts::CountRunning() {
  drover::v1::ListOperationsRequest request;
  request.set_page_size(1000);
  request.set_top_level_only(true);
  request.add_states(drover::v1::Operation::STATE_RUNNING);
  request.add_states(drover::v1::Operation::STATE_UNDOING);
  const auto running = runner_->List(request);
  return running.ok() ? running->operations_size() : 0;
}

void Daemon::Parts::OpenApi() {
  call_log_ = std::make_unique<api::CallLog>(
      [this](drover::v1::LogEntry entry) { return events_->Log(std::move(entry)); },
      [this](absl::string_view name) -> std::optional<drover::v1::Vm> {
        auto vm = inventory_->GetVm(name);
        if (!vm.ok()) return std::nullopt;
        return *std::move(vm);
      },
      &clock_);
  dispatcher_ = std::make_unique<api::Dispatcher>(NewGate(), call_log_.get());
  OpenServices();
  agents::LinkServerOptions link;
  link.listen = config_.agents_listen;
  link.certificate_file = certificate_->certificate_file();
  link.key_file = certificate_->key_file();
  link.authority_file = certificate_->authority_file();
  link_server_ = std::make_unique<agents::LinkServer>(link, directory_.get(), authority_.get());

  api::ServerOptions server;
  server.listen = config_.listen;
  server.certificate_file = certificate_->certificate_file();
  server.key_file = certificate_->key_file();
  server.gateway_key = gateway_key_;
  server.workers = config_.server_workers;
  server_ = std::make_unique<api::Server>(server, dispatcher_.get(), &clock_);
}

absl::Status Daemon::Parts::Open() {
  DROVER_RETURN_IF_ERROR(OpenStore());
  DROVER_RETURN_IF_ERROR(OpenMail());
  DROVER_RETURN_IF_ERROR(OpenAgents());
  DROVER_RETURN_IF_ERROR(OpenOperations());
  DROVER_RETURN_IF_ERROR(OpenUpgrades());
  OpenFeed();
  OpenApi();
  return absl::OkStatus();
}

// Ports first: a controller that cannot be reached must not begin to work.
absl::Status Daemon::Parts::Start() {
  DROVER_RETURN_IF_ERROR(link_server_->Start());
  DROVER_RETURN_IF_ERROR(server_->Start());
  started_ = true;
  samples_->Start();
  hub_->Start();
  if (mails_ != nullptr) mails_->Start();
  if (alerts_ != nullptr) alerts_->Start();
  directory_->Start();
  DROVER_RETURN_IF_ERROR(estate_->Start());
  sweep_->Start();
  DROVER_RETURN_IF_ERROR(runner_->Start());
  automatic_upgrades_->Start();
  return absl::OkStatus();
}

void Daemon::Parts::Stop() {
  if (!started_) return;
  started_ = false;
  server_->Stop(kGrace);
  automatic_upgrades_->Stop();
  working_copies_->Stop();
  runner_->Stop();
  link_server_->Stop(kGrace);
  sweep_->Stop();
  estate_->Stop();
  if (alerts_ != nullptr) alerts_->Stop();
  if (mails_ != nullptr) mails_->Stop();
  hub_->Stop();
}

void Daemon::Parts::Maintain() {
  if (const absl::Status status = certificate_->Refresh(); !status.ok()) {
    LogError("the server certificate cannot be renewed: ", status.message());
  }
  host_usage_->ForgetGone();
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Daemon::~Daemon() = default;

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Open(const Config& config) {
  auto parts = std::make_unique<Parts>(config);
  DROVER_RETURN_IF_ERROR(parts->Open());
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

const std::optional<std::string>& Daemon::first_password() const {
  return parts_->first_password();
}
std::string Daemon::authority_fingerprint() const { return parts_->authority_fingerprint(); }
absl::Status Daemon::Start() { return parts_->Start(); }
void Daemon::Stop() { parts_->Stop(); }
void Daemon::Maintain() { parts_->Maintain(); }

}  // namespace drover
