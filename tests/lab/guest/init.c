// First process of a guest. The caller has made the namespaces and mounted the disk; here the root is put together,
// the guest's own /etc/rc runs, and children are reaped until the guest is shut down.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lab/guest/guest.h"

enum { kMaxRespawn = 32, kLineSize = 512 };

struct Respawn {
  char command[kLineSize];
  pid_t pid;
  time_t not_before;
};

static struct Respawn respawns[kMaxRespawn];
static int respawn_count;
static char** boot_environment;

static void Mount(const char* source, const char* target, const char* type, unsigned long flags,
                  const char* data) {
  if (mount(source, target, type, flags, data)) Die(1, target);
}

static void MakeDevices(void) {
  static const char* const kNodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
  Mount("dev", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k");
  for (size_t i = 0; i < sizeof(kNodes) / sizeof(*kNodes); ++i) {
    char from[64], to[64];
    snprintf(from, sizeof(from), "/dev/%s", kNodes[i]);
    snprintf(to, sizeof(to), "dev/%s", kNodes[i]);
    int fd = open(to, O_CREAT | O_WRONLY, 0666);
    if (fd >= 0) close(fd);
    Mount(from, to, NULL, MS_BIND, NULL);
  }
  mkdir("dev/pts", 0755);
  mkdir("dev/shm", 01777);
  Mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=620,gid=5");
  Mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m");
  if (symlink("pts/ptmx", "dev/ptmx") || symlink("/proc/self/fd", "dev/fd") ||
      symlink("/proc/self/fd/0", "dev/stdin") || symlink("/proc/self/fd/1", "dev/stdout") ||
      symlink("/proc/self/fd/2", "dev/stderr")) {
    Die(1, "dev links");
  }
}

// The machine's kernel settings stay out of the guest's reach; only its own network's may change.
static void ProtectKernelSettings(void) {
  Mount("proc/sys", "proc/sys", NULL, MS_BIND, NULL);
  Mount("proc/sys/net", "proc/sys/net", NULL, MS_BIND, NULL);
  Mount(NULL, "proc/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
  mount("/dev/null", "proc/sysrq-trigger", NULL, MS_BIND, NULL);
}

// Overlay of the disk's own files over the read-only layer, with the kernel's file systems on top.
static void BuildRoot(const char* disk, const char* layers, const char* root) {
  char options[4096];
  Mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s/up,workdir=%s/wk", layers, disk, disk);
  Mount("overlay", root, "overlay", 0, options);
  if (chdir(root)) Die(1, root);
  Mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  Mount("sysfs", "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  ProtectKernelSettings();
  MakeDevices();
  Mount("run", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m");
}

// Folders and files of the caller inside the new root, as SOURCE:TARGET.
static void BindInto(char* pair) {
  char* target = strchr(pair, ':');
  if (!target) Die(1, pair);
  *target++ = 0;
  char inside[4096];
  snprintf(inside, sizeof(inside), "%s", target + 1);
  struct stat status;
  if (stat(pair, &status)) Die(1, pair);
  for (char* slash = inside; (slash = strchr(slash, '/')); ++slash) {
    *slash = 0;
    mkdir(inside, 0755);
    *slash = '/';
  }
  if (S_ISDIR(status.st_mode)) {
    mkdir(inside, 0755);
  } else {
    int fd = open(inside, O_CREAT | O_WRONLY, 0644);
    if (fd >= 0) close(fd);
  }
  Mount(pair, inside, NULL, MS_BIND, NULL);
}

static void EnterRoot(void) {
  if (syscall(SYS_pivot_root, ".", ".") == 0) {
    if (umount2(".", MNT_DETACH)) Die(1, "umount of the old root");
  } else {
    // pivot_root refuses when the old root is no mount point, as in a chroot.
    if (mount(".", "/", NULL, MS_MOVE, NULL)) Die(1, "move root");
    if (chroot(".")) Die(1, "chroot");
  }
  if (chdir("/")) Die(1, "chdir /");
}

// A guest is root on the machine's kernel: take what could reach the machine itself.
static void DropCapabilities(void) {
  static const int kDropped[] = {CAP_SYS_TIME,  CAP_SYS_MODULE,    CAP_SYS_RAWIO, CAP_MKNOD,
                                 CAP_SYSLOG,    CAP_MAC_ADMIN,     CAP_MAC_OVERRIDE,
                                 CAP_WAKE_ALARM, CAP_AUDIT_CONTROL, 38 /* PERFMON */, 39 /* BPF */};
  for (size_t i = 0; i < sizeof(kDropped) / sizeof(*kDropped); ++i) {
    prctl(PR_CAPBSET_DROP, kDropped[i], 0, 0, 0);
  }
}

static pid_t Spawn(const char* command) {
  pid_t pid = fork();
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    char* argv[] = {"sh", "-c", (char*)command, NULL};
    execve("/bin/sh", argv, boot_environment);
    _exit(127);
  }
  return pid;
}

// Lines "id:levels:respawn:command" of /etc/inittab; other actions are left to /etc/rc.
static void ReadInittab(void) {
  FILE* file = fopen("/etc/inittab", "r");
  char line[kLineSize];
  struct Respawn found[kMaxRespawn];
  int count = 0;
  memset(found, 0, sizeof(found));
  while (file && fgets(line, sizeof(line), file) && count < kMaxRespawn) {
    line[strcspn(line, "\n")] = 0;
    char* action = strchr(line, ':');
    action = action ? strchr(action + 1, ':') : NULL;
    if (line[0] == '#' || !action || strncmp(action + 1, "respawn:", 8)) continue;
    snprintf(found[count].command, kLineSize, "exec %s", action + 9);
    for (int i = 0; i < respawn_count; ++i) {
      if (!strcmp(respawns[i].command, found[count].command)) found[count] = respawns[i];
    }
    ++count;
  }
  if (file) fclose(file);
  for (int i = 0; i < respawn_count; ++i) {
    int kept = 0;
    for (int j = 0; j < count; ++j) kept |= !strcmp(respawns[i].command, found[j].command);
    if (!kept && respawns[i].pid > 0) kill(respawns[i].pid, SIGTERM);
  }
  memcpy(respawns, found, sizeof(found));
  respawn_count = count;
}

static int StartRespawns(void) {
  int waiting = 0;
  time_t now = time(NULL);
  for (int i = 0; i < respawn_count; ++i) {
    if (respawns[i].pid > 0) continue;
    if (now < respawns[i].not_before) {
      waiting = 1;
      continue;
    }
    respawns[i].pid = Spawn(respawns[i].command);
    respawns[i].not_before = now + 2;
  }
  return waiting;
}

static void Reap(pid_t* boot) {
  for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
    if (pid == *boot) *boot = 0;
    for (int i = 0; i < respawn_count; ++i) {
      if (respawns[i].pid == pid) respawns[i].pid = 0;
    }
  }
}

static void WaitChildren(int seconds) {
  for (int i = 0; i < seconds * 50; ++i) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) continue;
    if (pid < 0 && errno == ECHILD) return;
    usleep(20 * 1000);
  }
}

static void ShutDown(int how) {
  respawn_count = 0;
  pid_t script = Spawn("test -x /etc/rc.shutdown && exec /etc/rc.shutdown");
  // Everything is reaped meanwhile: the script waits for its services to be gone.
  for (pid_t pid = 0; script > 0 && pid != script && (pid >= 0 || errno == EINTR);) {
    pid = waitpid(-1, NULL, 0);
  }
  kill(-1, SIGTERM);
  WaitChildren(5);
  kill(-1, SIGKILL);
  WaitChildren(1);
  sync();
  reboot(how);
  _exit(1);
}

static void Boot(void) {
  static char* environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                "HOME=/root", "TERM=linux", NULL};
  boot_environment = environment;
  char name[128] = "localhost";
  FILE* file = fopen("/etc/hostname", "r");
  if (file && fgets(name, sizeof(name), file)) name[strcspn(name, "\n")] = 0;
  if (file) fclose(file);
  if (sethostname(name, strlen(name))) Die(1, "hostname");
}

// Templates with this file boot systemd instead of /etc/rc.
static const char kSystemdMark[] = "/etc/boots-systemd";

static void BecomeSystemd(void) {
  char* argv[] = {"/sbin/init", NULL};
  char* environment[] = {"container=lab", "TERM=linux",
                         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  if (unshare(CLONE_NEWCGROUP)) Die(1, "cgroup name space");
  Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  execve(argv[0], argv, environment);
  Die(1, argv[0]);
}

// init DISK LAYERS ROOT [SOURCE:TARGET...]: fd 3 delivers one byte when the guest's cable is plugged in; fd 4 is closed when the root
// stands, so that the caller can let go of the disk.
int InitMain(int argc, char** argv) {
  if (argc < 3) return 2;
  BuildRoot(argv[0], argv[1], argv[2]);
  for (int i = 3; i < argc; ++i) BindInto(argv[i]);
  EnterRoot();
  DropCapabilities();
  // Nobody in the guest shall hit its first process by a pattern over command lines.
  for (int i = 0; i < argc; ++i) memset(argv[i], 0, strlen(argv[i]));
  prctl(PR_SET_NAME, "init", 0, 0, 0);
  close(4);
  char byte;
  while (read(3, &byte, 1) < 0 && errno == EINTR) continue;
  close(3);
  if (access(kSystemdMark, F_OK) == 0) BecomeSystemd();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  Boot();
  pid_t boot = Spawn("test -x /etc/rc && exec /etc/rc");
  for (int waiting = 0;;) {
    struct timespec delay = {waiting ? 1 : 3600, 0};
    int signal = sigtimedwait(&set, NULL, &delay);
    if (signal == SIGTERM) ShutDown(LINUX_REBOOT_CMD_POWER_OFF);
    if (signal == SIGINT) ShutDown(LINUX_REBOOT_CMD_RESTART);
    Reap(&boot);
    if (boot == 0) {
      boot = -1;
      ReadInittab();
    }
    if (signal == SIGHUP) ReadInittab();
    waiting = StartRespawns();
  }
}
