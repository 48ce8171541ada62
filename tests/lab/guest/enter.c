// Running programs and moving files inside a guest, the way VMware Tools does it: no network, the guest's own accounts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lab/guest/guest.h"

void JoinGuest(pid_t pid, const char* cgroup) {
  static const char* const kKinds[] = {"ipc", "uts", "net", "pid", "mnt"};
  char path[512];
  if (cgroup[0]) {
    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, "0", 1) < 0) Die(120, path);
    close(fd);
  }
  snprintf(path, sizeof(path), "/proc/%d/root", pid);
  int root = open(path, O_RDONLY | O_DIRECTORY);
  if (root < 0) Die(120, path);
  int fds[5];
  for (int i = 0; i < 5; ++i) {
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kKinds[i]);
    fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    if (fds[i] < 0) Die(120, path);
  }
  for (int i = 0; i < 5; ++i) {
    if (setns(fds[i], 0)) Die(120, kKinds[i]);
    close(fds[i]);
  }
  if (fchdir(root) || chroot(".")) Die(120, "root");
  close(root);
}

int FindAccount(const char* name, struct Account* account) {
  FILE* file = fopen("/etc/passwd", "r");
  char line[1024];
  while (file && fgets(line, sizeof(line), file)) {
    char* rest = line;
    char* fields[7] = {0};
    line[strcspn(line, "\n")] = 0;
    for (int i = 0; i < 7 && rest; ++i) fields[i] = strsep(&rest, ":");
    if (!fields[6] || strcmp(fields[0], name)) continue;
    snprintf(account->name, sizeof(account->name), "%s", fields[0]);
    account->uid = strtoul(fields[2], NULL, 10);
    account->gid = strtoul(fields[3], NULL, 10);
    snprintf(account->home, sizeof(account->home), "%s", fields[5]);
    snprintf(account->shell, sizeof(account->shell), "%s", fields[6]);
    fclose(file);
    return 1;
  }
  if (file) fclose(file);
  return 0;
}

// Group ids whose member list in /etc/group names the account.
static int FindGroups(const struct Account* account, gid_t* groups, int limit) {
  FILE* file = fopen("/etc/group", "r");
  char line[4096];
  int count = 0;
  groups[count++] = account->gid;
  while (file && fgets(line, sizeof(line), file) && count < limit) {
    line[strcspn(line, "\n")] = 0;
    char* rest = line;
    strsep(&rest, ":");
    if (rest) strsep(&rest, ":");
    char* id = rest ? strsep(&rest, ":") : NULL;
    for (char* member; id && rest && (member = strsep(&rest, ","));) {
      if (!strcmp(member, account->name)) groups[count++] = strtoul(id, NULL, 10);
    }
  }
  if (file) fclose(file);
  return count;
}

void BecomeAccount(const struct Account* account) {
  gid_t groups[64];
  int count = FindGroups(account, groups, 64);
  if (account->uid == 0) count = 1;
  if (setgroups(count, groups) || setgid(account->gid) || setuid(account->uid)) Die(121, "account");
}

static void RunChild(const struct Account* account, const char* directory, char** environment,
                     int report, char** argv) {
  char home[300], user[100], shell[300];
  setsid();
  BecomeAccount(account);
  if (chdir(directory[0] ? directory : account->home) && chdir("/")) Die(122, "chdir");
  snprintf(home, sizeof(home), "HOME=%s", account->home);
  snprintf(user, sizeof(user), "USER=%s", account->name);
  snprintf(shell, sizeof(shell), "SHELL=%s", account->shell);
  char* standard[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", home, user,
                      shell, NULL};
  if (report >= 0) {
    dprintf(report, "%d\n", getpid());
    close(report);
  }
  execve(argv[0], argv, environment[0] ? environment : standard);
  _exit(errno == ENOENT ? 127 : 126);
}

// enter PID CGROUP USER DIRECTORY REPORT_FD [NAME=VALUE...] -- PROGRAM ARGS...
// The exit code is the program's (128+N for a signal). REPORT_FD gets the pid as the guest sees it; -1 = nobody asks.
int EnterMain(int argc, char** argv) {
  if (argc < 7) return 2;
  int report = atoi(argv[4]);
  char** environment = argv + 5;
  char** program = environment;
  while (*program && strcmp(*program, "--")) ++program;
  if (!*program || !program[1]) return 2;
  *program++ = NULL;
  JoinGuest(atoi(argv[0]), argv[1]);
  struct Account account;
  if (!FindAccount(argv[2], &account)) Die(121, "no such account");
  pid_t child = fork();
  if (child < 0) Die(120, "fork");
  if (child == 0) RunChild(&account, argv[3], environment, report, program);
  if (report >= 0) close(report);
  // Tools hold no terminal and pass no signals on; only the exit code matters from here.
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return 120;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
