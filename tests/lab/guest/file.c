// Files inside a guest. Exit codes tell the caller the reason: 0 done, 10 no such file, 11 exists already,
// 12 not permitted, 13 no space, 14 is a directory or not one, 15 anything else, 120 the guest is gone.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lab/guest/guest.h"

static int Reason(void) {
  switch (errno) {
    case ENOENT: return 10;
    case EEXIST:
    case ENOTEMPTY: return 11;
    case EACCES:
    case EPERM:
    case EROFS: return 12;
    case ENOSPC:
    case EDQUOT: return 13;
    case EISDIR:
    case ENOTDIR: return 14;
    default: return 15;
  }
}

static int CopyAll(int from, int to) {
  static char buffer[1 << 16];
  for (ssize_t n; (n = read(from, buffer, sizeof(buffer))) != 0;) {
    if (n < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    for (ssize_t done = 0; done < n;) {
      ssize_t written = write(to, buffer + done, n - done);
      if (written < 0) return -1;
      done += written;
    }
  }
  return 0;
}

// put PATH MODE UID GID OVERWRITE: stdin becomes the file, whole or not at all. A mode, uid or gid of -1 is left alone.
static int Put(char** argv) {
  char temporary[4200];
  long mode = atol(argv[1]), uid = atol(argv[2]), gid = atol(argv[3]);
  struct stat status;
  if (stat(argv[0], &status) == 0) {
    if (S_ISDIR(status.st_mode)) return 14;
    if (!atoi(argv[4])) return 11;
    if (mode < 0) mode = status.st_mode & 07777;
  }
  snprintf(temporary, sizeof(temporary), "%s.vmware-XXXXXX", argv[0]);
  int fd = mkostemp(temporary, O_CLOEXEC);
  if (fd < 0) return Reason();
  if (CopyAll(0, fd) || fchmod(fd, mode < 0 ? 0644 : mode) ||
      ((uid >= 0 || gid >= 0) && fchown(fd, uid, gid)) || close(fd) || rename(temporary, argv[0])) {
    int reason = Reason();
    unlink(temporary);
    return reason;
  }
  return 0;
}

static int Get(const char* path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) return Reason();
  struct stat status;
  if (fstat(fd, &status) || S_ISDIR(status.st_mode)) return 14;
  return CopyAll(fd, 1) ? 15 : 0;
}

// stat PATH: one line "size mode uid gid mtime kind".
static int Stat(const char* path) {
  struct stat status;
  if (stat(path, &status)) return Reason();
  printf("%jd %u %u %u %jd %s\n", (intmax_t)status.st_size, status.st_mode & 07777, status.st_uid,
         status.st_gid, (intmax_t)status.st_mtime, S_ISDIR(status.st_mode) ? "directory" : "file");
  return 0;
}

static int MakeDirectory(const char* path, int parents) {
  if (!parents) return mkdir(path, 0755) ? Reason() : 0;
  char partial[4096];
  snprintf(partial, sizeof(partial), "%s", path);
  for (char* slash = partial + 1; (slash = strchr(slash, '/')); ++slash) {
    *slash = 0;
    if (mkdir(partial, 0755) && errno != EEXIST) return Reason();
    *slash = '/';
  }
  return mkdir(path, 0755) ? Reason() : 0;
}

// file PID USER (put PATH MODE UID GID OVERWRITE | get PATH | stat PATH | mkdir PATH PARENTS | rm PATH)
int FileMain(int argc, char** argv) {
  if (argc < 4) return 2;
  JoinGuest(atoi(argv[0]), "");
  struct Account account;
  if (!FindAccount(argv[1], &account)) return 12;
  umask(022);
  BecomeAccount(&account);
  const char* what = argv[2];
  if (!strcmp(what, "put") && argc == 8) return Put(argv + 3);
  if (!strcmp(what, "get")) return Get(argv[3]);
  if (!strcmp(what, "stat")) return Stat(argv[3]);
  if (!strcmp(what, "mkdir") && argc == 5) return MakeDirectory(argv[3], atoi(argv[4]));
  if (!strcmp(what, "rm")) return unlink(argv[3]) ? Reason() : 0;
  return 2;
}
