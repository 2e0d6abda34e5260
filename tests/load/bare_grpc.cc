#include "tests/load/bare_grpc.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/synchronization/blocking_counter.h"
#include "common/file/file.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/server_callback_handlers.h"
#include "grpcpp/impl/service_type.h"
#include "tests/load/child.h"

namespace countersign::load {
namespace {

using grpc::ByteBuffer;

std::string ToString(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (!buffer.Dump(&slices).ok()) return text;
  for (const grpc::Slice& slice : slices)
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return text;
}

void RequireOk(const grpc::Status& status, const std::string& method) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %d %s\n", method.c_str(), status.error_code(), status.error_message().c_str());
  std::abort();
}

class DownloadReactor final : public grpc::ServerWriteReactor<ByteBuffer> {
 public:
  DownloadReactor(int64_t bytes, const ByteBuffer& chunk) : left_(bytes), chunk_(chunk) { Next(); }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    Next();
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (left_ <= 0) return Finish(grpc::Status::OK);
    left_ -= static_cast<int64_t>(chunk_.Length());
    StartWrite(&chunk_);
  }
  int64_t left_;
  const ByteBuffer chunk_;
};

class UploadReactor final : public grpc::ServerReadReactor<ByteBuffer> {
 public:
  UploadReactor() { StartRead(&message_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartRead(&message_);
  }
  void OnDone() override { delete this; }

 private:
  ByteBuffer message_;
};

class BareService final : public grpc::Service {
 public:
  BareService() : chunk_(ToBuffer(std::string(kChunkBytes, 'x'))) {
    using grpc::internal::RpcMethod;
    Add(kBareDownload, RpcMethod::SERVER_STREAMING,
        new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
            [this](grpc::CallbackServerContext*, const ByteBuffer* request) {
              int64_t bytes = 0;
              if (!absl::SimpleAtoi(ToString(*request), &bytes)) std::abort();
              return new DownloadReactor(bytes, chunk_);
            }));
    Add(kBareUpload, RpcMethod::CLIENT_STREAMING,
        new grpc::internal::CallbackClientStreamingHandler<ByteBuffer, ByteBuffer>(
            [](grpc::CallbackServerContext*, ByteBuffer* response) {
              *response = ToBuffer("");
              return new UploadReactor;
            }));
    Add(kBareEcho, RpcMethod::NORMAL_RPC,
        new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
            [](grpc::CallbackServerContext* context, const ByteBuffer* request, ByteBuffer* response) {
              *response = *request;
              grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
              reactor->Finish(grpc::Status::OK);
              return reactor;
            }));
  }

 private:
  void Add(const char* name, grpc::internal::RpcMethod::RpcType type,
           grpc::internal::MethodHandler* handler) {
    AddMethod(new grpc::internal::RpcServiceMethod(name, type, nullptr));
    MarkMethodRawCallback(methods_++, handler);
  }

  const ByteBuffer chunk_;
  int methods_ = 0;
};

std::string FileOrAbort(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path);
  if (!content.ok()) std::abort();
  return *std::move(content);
}

// Reads one server stream to its end.
class StreamReader final : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  StreamReader(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
               const std::string& request, absl::BlockingCounter& done)
      : stub_(channel), method_(method), request_(ToBuffer(request)), done_(done) {
    stub_.PrepareBidiStreamingCall(&context_, method, {}, this);
    StartWriteLast(&request_, grpc::WriteOptions());
    StartRead(&response_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    bytes_ += static_cast<int64_t>(response_.Length());
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    RequireOk(status, method_);
    done_.DecrementCount();
  }
  int64_t bytes() const { return bytes_; }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  const std::string method_;
  const ByteBuffer request_;
  ByteBuffer response_;
  int64_t bytes_ = 0;
  absl::BlockingCounter& done_;
};

class StreamWriter final : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  StreamWriter(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
               const std::vector<ByteBuffer>& messages, absl::BlockingCounter& done)
      : stub_(channel), method_(method), messages_(messages), done_(done) {
    stub_.PrepareBidiStreamingCall(&context_, method, {}, this);
    StartRead(&response_);
    Next();
    StartCall();
  }
  void OnWriteDone(bool ok) override {
    if (ok && next_ < messages_.size()) Next();
  }
  void OnDone(const grpc::Status& status) override {
    RequireOk(status, method_);
    done_.DecrementCount();
  }

 private:
  void Next() {
    const ByteBuffer& message = messages_[next_++];
    if (next_ == messages_.size()) {
      StartWriteLast(&message, grpc::WriteOptions());
    } else {
      StartWrite(&message);
    }
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  const std::string method_;
  const std::vector<ByteBuffer>& messages_;
  size_t next_ = 0;
  ByteBuffer response_;
  absl::BlockingCounter& done_;
};

// Calls again as soon as it has its answer, as long as there are calls left.
class Caller {
 public:
  Caller(const std::shared_ptr<grpc::Channel>& channel, const std::string& method, const ByteBuffer& request,
         std::atomic<int>& left, absl::BlockingCounter& done)
      : stub_(channel), method_(method), request_(request), left_(left), done_(done) {
    Next();
  }

 private:
  void Next() {
    if (left_.fetch_sub(1) <= 0) {
      done_.DecrementCount();
      return;
    }
    context_ = std::make_unique<grpc::ClientContext>();
    stub_.UnaryCall(context_.get(), method_, {}, &request_, &response_, [this](const grpc::Status& status) {
      RequireOk(status, method_);
      Next();
    });
  }

  grpc::GenericStub stub_;
  const std::string method_;
  const ByteBuffer request_;
  std::atomic<int>& left_;
  absl::BlockingCounter& done_;
  std::unique_ptr<grpc::ClientContext> context_;
  ByteBuffer response_;
};

}  // namespace

void ServeBareGrpc(const rpc::TlsOptions& tls) {
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = FileOrAbort(tls.ca_file);
  options.pem_key_cert_pairs = {{FileOrAbort(tls.key_file), FileOrAbort(tls.certificate_file)}};
  BareService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) std::abort();
  ServeUntilOrphaned(port);
  server->Shutdown(std::chrono::system_clock::now());
}

ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return ByteBuffer(&slice, 1);
}

int64_t Download(const Channels& channels, const std::string& method, const std::string& request) {
  absl::BlockingCounter done(static_cast<int>(channels.size()));
  std::vector<std::unique_ptr<StreamReader>> readers;
  for (const std::shared_ptr<grpc::Channel>& channel : channels) {
    readers.push_back(std::make_unique<StreamReader>(channel, method, request, done));
  }
  done.Wait();
  int64_t bytes = 0;
  for (const std::unique_ptr<StreamReader>& reader : readers) bytes += reader->bytes();
  return bytes;
}

void Upload(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
            const std::vector<ByteBuffer>& messages) {
  absl::BlockingCounter done(1);
  const StreamWriter writer(channel, method, messages, done);
  done.Wait();
}

void CallRepeatedly(const Channels& channels, const std::string& method, const std::string& request,
                    int calls, int at_once) {
  absl::BlockingCounter done(at_once);
  std::atomic<int> left = calls;
  const ByteBuffer buffer = ToBuffer(request);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < at_once; ++i) {
    callers.push_back(std::make_unique<Caller>(channels[i % channels.size()], method, buffer, left, done));
  }
  done.Wait();
}

}  // namespace countersign::load
