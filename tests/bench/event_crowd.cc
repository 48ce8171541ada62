// Many browsers: COUNT event streams of one address, read by one thread. Says "open" when each has
// begun; then, for each word that comes on standard input, how far apart the first and the last of
// them saw it: "WORD FIRST_US SPREAD_MS", FIRST_US on the clock CLOCK_MONOTONIC. Also on that clock
// and in that format for `bare` - see bare_events.cc.
//
//   event_crowd PORT PATH COUNT [HEADER...]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

namespace {

struct Browser {
  int fd = -1;
  bool open = false;
  bool saw = false;
  // The end of what came, long enough for a word that came in two pieces.
  std::string tail;
};

double NowUs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

[[noreturn]] void Fail(const char* what) {
  perror(what);
  exit(1);
}

class Crowd {
 public:
  Crowd(int port, const std::string& request, int count) : browsers_(static_cast<size_t>(count)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < browsers_.size(); ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        Fail("connect");
      }
      if (write(fd, request.data(), request.size()) < 0) Fail("write");
      browsers_[i].fd = fd;
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
    }
  }

  // Until each has had an event: the headers are through, and so is what comes first.
  void AwaitOpen() {
    Until([this](Browser& browser) {
      const bool opened = !browser.open && browser.tail.find("\n\n") != std::string::npos;
      browser.open = browser.open || opened;
      return opened;
    });
  }
  // Until each has seen the word.
  void AwaitWord(const std::string& word) {
    for (Browser& browser : browsers_) browser.saw = false;
    double first = 0;
    Until([&](Browser& browser) {
      if (browser.saw || browser.tail.find(word) == std::string::npos) return false;
      browser.saw = true;
      if (first == 0) first = NowUs();
      return true;
    });
    printf("%s %.0f %.2f\n", word.c_str(), first, (NowUs() - first) / 1000);
    fflush(stdout);
  }

 private:
  template <typename Counts>
  void Until(const Counts& counts) {
    size_t done = 0;
    char buffer[65536];
    std::vector<epoll_event> events(browsers_.size());
    while (done < browsers_.size()) {
      const int ready = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), 60000);
      if (ready <= 0) Fail("nothing comes");
      for (int i = 0; i < ready; ++i) {
        Browser& browser = browsers_[events[static_cast<size_t>(i)].data.u64];
        const ssize_t got = read(browser.fd, buffer, sizeof(buffer));
        if (got <= 0) Fail("a stream has ended");
        browser.tail.append(buffer, static_cast<size_t>(got));
        if (counts(browser)) ++done;
        if (browser.tail.size() > 4096) browser.tail.erase(0, browser.tail.size() - 1024);
      }
    }
  }

  const int poll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Browser> browsers_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: event_crowd PORT PATH COUNT [HEADER...]\n");
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  std::string request =
      std::string("GET ") + argv[2] + " HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n";
  for (int i = 4; i < argc; ++i) request += std::string(argv[i]) + "\r\n";
  Crowd crowd(atoi(argv[1]), request + "\r\n", atoi(argv[3]));
  crowd.AwaitOpen();
  printf("open\n");
  fflush(stdout);
  for (std::string word; std::getline(std::cin, word);) crowd.AwaitWord(word);
  return 0;
}
