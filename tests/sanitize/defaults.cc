// Options of the sanitizers for programs that start where no environment reaches: the agent in a
// guest of the lab. The lab shows guests this folder where DROVER_SANITIZER_REPORTS is set; a
// report in it fails the run (tests/run --sanitize).
#define DROVER_REPORTS "log_path=/var/log/drover-sanitizer/report:"

extern "C" {

const char* __asan_default_options() {
  return DROVER_REPORTS "detect_stack_use_after_return=1:strict_init_order=1";
}

const char* __ubsan_default_options() { return DROVER_REPORTS "print_stacktrace=1"; }

const char* __tsan_default_options() {
  return DROVER_REPORTS "second_deadlock_stack=1:history_size=4";
}

// Libraries of the system are not instrumented: what orders their memory accesses (gRPC hands work
// over by atomics of its own) is not seen. They are told apart by library; code of ours never is.
// The agent holds them, so there they go by the library's namespace.
const char* __tsan_default_suppressions() {
#ifdef DROVER_WRAP
  return "race:^grpc::\n"
         "race:^void grpc::\n"
         "race:^grpc_core::\n"
         "race:^grpc_event_engine::\n"
         "race:^grpc_\n"
         "race:^gpr_\n"
         "race:^absl::debian3::inlined_vector_internal::Storage<absl::debian3::status_internal::\n";
#else
  return "race:libgpr.so\n"
         "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libabsl_\n"
         "race:libcrypto.so\n"
         "race:libssl.so\n"
         "race:libprotobuf.so\n"
         "race:libupb.so\n";
#endif
}

}  // extern "C"
