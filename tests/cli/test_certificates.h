// An authority and a controller's certificate signed by it, made anew. Thread promise: pure
// function.
#pragma once

#include <string>

namespace drover::testing {

struct TestCertificates {
  // PEM each.
  std::string authority;
  std::string server_certificate;
  std::string server_key;
};

// The server's certificate carries "drover-controller" and 127.0.0.1.
TestCertificates MakeTestCertificates();

}  // namespace drover::testing
