// A service that tells when it runs: one datagram "NAME PID NANOSECONDS" (monotonic) to SOCKET,
// then it stays. With a PIDFILE it writes its process id there first, whole.
//
//   restart_probe SOCKET [PIDFILE]        its NAME is that of its executable
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (argc < 2) return 2;
  if (argc > 2) {
    char pending[4096];
    snprintf(pending, sizeof(pending), "%s.new", argv[2]);
    FILE* file = fopen(pending, "w");
    if (file == nullptr) return 1;
    fprintf(file, "%d\n", getpid());
    fclose(file);
    if (rename(pending, argv[2]) != 0) return 1;
  }
  const char* slash = strrchr(argv[0], '/');
  char text[256];
  const int length = snprintf(text, sizeof(text), "%s %d %lld", slash ? slash + 1 : argv[0],
                              getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
  const int out = socket(AF_UNIX, SOCK_DGRAM, 0);
  (void)!sendto(out, text, static_cast<size_t>(length), 0, reinterpret_cast<sockaddr*>(&address),
                sizeof(address));
  close(out);
  for (;;) pause();
}
