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

// Libraries of the system are not instrumented: what they do to memory they were given is told
// apart by library, never by code of ours.
const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n";
}

}  // extern "C"
