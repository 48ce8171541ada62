// What main() of every program does first.
#pragma once

namespace drover {

// Release builds: locks are taken without looking for possible deadlocks, which Debian's Abseil
// does at each of them, of gRPC's too, and which takes a busy controller a tenth of its time. Other
// builds go on looking. Thread promise: before there are other threads.
void SetUpProcess();

}  // namespace drover
