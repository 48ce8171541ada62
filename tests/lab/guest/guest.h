// The small static program behind every lab guest, by mode:
//   init     first process of a guest: builds the root, boots, reaps, shuts down
//   enter    run a program inside a guest, as VMware Tools would
//   file     read, write, make or remove a file inside a guest
//   checkpw  compare a password with a crypt(3) hash; hashpw makes one
// One process, one mode, no threads; nothing is kept between runs.
#pragma once

#include <sys/types.h>

int InitMain(int argc, char** argv);
int EnterMain(int argc, char** argv);
int FileMain(int argc, char** argv);
int CheckPasswordMain(void);

// Ends the program with `code` after printing `what` and errno.
void Die(int code, const char* what);

// Joins all namespaces of `pid` (and the cgroup when not empty) and makes the guest's root ours.
// The PID namespace only holds for children forked afterwards.
void JoinGuest(pid_t pid, const char* cgroup);

// An entry of the guest's /etc/passwd; read by hand since a static binary has no NSS.
struct Account {
  char name[64];
  uid_t uid;
  gid_t gid;
  char home[256];
  char shell[256];
};
int FindAccount(const char* name, struct Account* account);

// Gives up root for that account, groups included.
void BecomeAccount(const struct Account* account);
