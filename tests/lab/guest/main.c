#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lab/guest/guest.h"

void Die(int code, const char* what) {
  fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
  exit(code);
}

// Two lines on stdin, hash and password, so that neither is ever an argument.
int CheckPasswordMain(void) {
  char hash[1024];
  char password[1024];
  if (!fgets(hash, sizeof(hash), stdin) || !fgets(password, sizeof(password), stdin)) return 2;
  hash[strcspn(hash, "\n")] = 0;
  password[strcspn(password, "\n")] = 0;
  const char* computed = crypt(password, hash);
  return computed && hash[0] && strcmp(computed, hash) == 0 ? 0 : 1;
}

// A password on stdin becomes a hash on stdout, for the shadow file of a template.
static int HashPasswordMain(void) {
  char password[1024];
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (!fgets(password, sizeof(password), stdin)) return 2;
  password[strcspn(password, "\n")] = 0;
  if (!crypt_gensalt_rn("$6$", 5000, NULL, 0, setting, sizeof(setting))) return 1;
  const char* hash = crypt(password, setting);
  if (!hash || hash[0] == '*') return 1;
  puts(hash);
  return 0;
}

int main(int argc, char** argv) {
  if (argc >= 2) {
    if (!strcmp(argv[1], "init")) return InitMain(argc - 2, argv + 2);
    if (!strcmp(argv[1], "enter")) return EnterMain(argc - 2, argv + 2);
    if (!strcmp(argv[1], "file")) return FileMain(argc - 2, argv + 2);
    if (!strcmp(argv[1], "checkpw")) return CheckPasswordMain();
    if (!strcmp(argv[1], "hashpw")) return HashPasswordMain();
  }
  fprintf(stderr, "guest: init|enter|file|checkpw|hashpw\n");
  return 2;
}
