#include "common/http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::http {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A connection of its own, of which every byte is chosen.
class Connection {
 public:
  explicit Connection(int port, const char* from = "127.0.0.1") : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in own = {};
    own.sin_family = AF_INET;
    inet_pton(AF_INET, from, &own.sin_addr);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&own), sizeof(own)), 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ~Connection() { close(socket_); }

  void Send(const std::string& bytes) { send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Everything until the server closes.
  std::string Read() {
    std::string all;
    char buffer[4096];
    ssize_t count;
    while ((count = recv(socket_, buffer, sizeof(buffer), 0)) > 0) all.append(buffer, count);
    return all;
  }

 private:
  const int socket_;
};

std::string Exchange(int port, const std::string& request) {
  Connection connection(port);
  connection.Send(request);
  return connection.Read();
}

std::string Post(const std::string& body, const std::string& path = "/") {
  return absl::StrCat(
      "POST ", path,
      " HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ",
      body.size(), "\r\n\r\n", body);
}

class ServerTest : public ::testing::Test {
 protected:
  void Start(ServerOptions options = {}) {
    server_ = std::make_unique<Server>(options, [](const Request& request) {
      return Response{
          .code = 200,
          .body = absl::StrCat(request.method, " ", request.path, " q=", request.Query("a"),
                               " f=", request.Form("a"), " hosts=", request.header_counts.at("host"))};
    });
    ASSERT_OK(server_->Start("127.0.0.1", 0));
  }
  int port() const { return server_->port(); }

  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AFormIsWhatStandsInTheBodyAndAQueryWhatStandsInTheAddress) {
  Start();
  EXPECT_THAT(Exchange(port(), Post("a=b%20c", "/x?a=q")), HasSubstr("POST /x q=q f=b c"));
  EXPECT_THAT(Exchange(port(), "GET /y?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("GET /y q=1 f= "));
}

TEST_F(ServerTest, AHeaderThatIsSentTwiceIsToldApart) {
  Start();
  EXPECT_THAT(Exchange(port(), "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"), HasSubstr("hosts=2"));
}

TEST_F(ServerTest, OtherMethodsAreNotAllowed) {
  Start();
  EXPECT_THAT(Exchange(port(), "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 405"));
}

TEST_F(ServerTest, ALongRequestIsNotReadToItsEnd) {
  Start({.max_request_bytes = 2000});
  EXPECT_THAT(Exchange(port(), Post("a=" + std::string(1000, 'x'))), StartsWith("HTTP/1.1 200"));
  const std::string answer = Exchange(port(), Post("a=" + std::string(5000, 'x')));
  EXPECT_FALSE(absl::StartsWith(answer, "HTTP/1.1 200")) << answer;
  // Nor when its length is not told.
  std::string chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 50; ++i) chunked += "64\r\n" + std::string(100, 'x') + "\r\n";
  const std::string other = Exchange(port(), chunked + "0\r\n\r\n");
  EXPECT_FALSE(absl::StartsWith(other, "HTTP/1.1 200")) << other;
}

TEST_F(ServerTest, ALongPathIsRefused) {
  Start({.max_request_bytes = 16384});
  EXPECT_THAT(Exchange(port(), absl::StrCat("GET /", std::string(7000, 'a'), " HTTP/1.1\r\nHost: x\r\n\r\n")),
              StartsWith("HTTP/1.1 414"));
  EXPECT_THAT(Exchange(port(), Post("a=b", "/" + std::string(7000, 'a'))), StartsWith("HTTP/1.1 414"));
}

TEST_F(ServerTest, WhoHoldsConnectionsOpenIsSentAwayAndHoldsUpNobodyForLong) {
  Start({.threads = 2, .max_connection_time = absl::Milliseconds(300)});
  Connection first(port()), second(port());
  first.Send("GET / HTTP");
  second.Send("G");
  // Waits for the threads that the two hold, which is not for long.
  EXPECT_THAT(Exchange(port(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(first.Read(), ::testing::Not(StartsWith("HTTP/1.1 200")));
}

TEST_F(ServerTest, OneAddressLeavesThreadsForOthers) {
  // Whoever waits for all of these to be sent away waits longer than this test may take.
  Start({.threads = 4,
         .max_request_time = absl::Hours(1),
         .max_connection_time = absl::Hours(1),
         .max_threads_per_address = 2});
  std::vector<std::unique_ptr<Connection>> held;
  for (int i = 0; i < 20; ++i) {
    held.push_back(std::make_unique<Connection>(port(), "127.0.0.2"));
    held.back()->Send("GET /");
  }
  EXPECT_THAT(Exchange(port(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  held.clear();
}

TEST_F(ServerTest, ARequestHasLessTimeThanItsAnswer) {
  Start({.threads = 1, .max_request_time = absl::Milliseconds(200), .max_connection_time = absl::Hours(1)});
  Connection slow(port());
  slow.Send("GET / HTTP");
  EXPECT_THAT(Exchange(port(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, APortThatIsTakenIsRefused) {
  Start();
  Server other({}, [](const Request&) { return Response(); });
  EXPECT_THAT(other.Start("127.0.0.1", port()), StatusIs(absl::StatusCode::kUnavailable, "PORT_UNAVAILABLE"));
}

TEST_F(ServerTest, WithoutItsCertificateItDoesNotStart) {
  Server server({.tls_certificate = "/nonexistent.crt", .tls_key = "/nonexistent.key"},
                [](const Request&) { return Response(); });
  EXPECT_THAT(server.Start("127.0.0.1", 0), StatusIs(absl::StatusCode::kInvalidArgument, "TLS_UNUSABLE"));
}

}  // namespace
}  // namespace countersign::http
