#include "common/rpc/flags.h"

#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

class FlagsTest : public ::testing::Test {
 protected:
  FlagsTest() {
    AddServerFlags(app_, options_);
    AddFlag(app_, "--database", database_, "connection string")->required();
  }
  ~FlagsTest() override {
    unsetenv("COUNTERSIGN_DATABASE");
    unsetenv("COUNTERSIGN_HTTP_LISTEN");
  }

  static constexpr char kTls[] = "--tls-cert c --tls-key k --tls-ca a --trust-domain home.example ";

  CLI::App app_;
  ServerOptions options_;
  std::string database_;
};

TEST_F(FlagsTest, FlagsFillTheOptions) {
  app_.parse(
      kTls +
      std::string("--listen 0.0.0.0:7000 --port-file p --threads 3 --grace-seconds 1.5 --database dbname=x"));
  EXPECT_EQ(options_.tls.certificate_file, "c");
  EXPECT_EQ(options_.tls.key_file, "k");
  EXPECT_EQ(options_.tls.ca_file, "a");
  EXPECT_EQ(options_.tls.trust_domain, "home.example");
  EXPECT_EQ(options_.listen, "0.0.0.0:7000");
  EXPECT_EQ(options_.http_listen, "127.0.0.1:0");
  EXPECT_EQ(options_.port_file, "p");
  EXPECT_EQ(options_.threads, 3);
  EXPECT_EQ(options_.grace, absl::Milliseconds(1500));
  EXPECT_EQ(database_, "dbname=x");
}

TEST_F(FlagsTest, TheEnvironmentFillsInAndFlagsWin) {
  setenv("COUNTERSIGN_DATABASE", "dbname=env", 1);
  setenv("COUNTERSIGN_HTTP_LISTEN", "127.0.0.1:1", 1);
  app_.parse(kTls + std::string("--http-listen 127.0.0.1:2"));
  EXPECT_EQ(database_, "dbname=env");
  EXPECT_EQ(options_.http_listen, "127.0.0.1:2");
}

TEST_F(FlagsTest, WhatIsMissingOrOutOfRangeIsRefused) {
  EXPECT_THROW(app_.parse(std::string(kTls)), CLI::RequiredError);
  EXPECT_THROW(app_.parse(kTls + std::string("--database x --threads 0")), CLI::ValidationError);
  EXPECT_THROW(app_.parse(kTls + std::string("--database x --log-level loud")), CLI::ValidationError);
}

}  // namespace
}  // namespace countersign::rpc
