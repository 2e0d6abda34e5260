#include "services/package_store/storage/bucket.h"

#include <curl/curl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <pugixml.hpp>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::package_store {
namespace {

constexpr int kAttempts = 5;
constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr long kConnectSeconds = 5;
// A server that moves no byte for so long is given up; completing an upload may take it minutes.
constexpr long kStalledSeconds = 20;
constexpr long kCompletionSeconds = 600;
constexpr size_t kMaxTextBytes = 16 << 20;
constexpr size_t kMaxIdleHandles = 32;

absl::Status BadUrl(absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_FLAG",
               absl::StrCat("--blob-s3 must be https://endpoint/bucket or https://endpoint/bucket/prefix: ",
                            why, "."));
}

absl::Status Misconfigured(absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, "BUCKET_MISCONFIGURED", message);
}

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '/';
  });
}

bool IsLoopback(absl::string_view host) {
  return absl::StartsWith(host, "127.") || host == "localhost" || absl::StartsWith(host, "localhost:") ||
         absl::StartsWith(host, "[::1]");
}

std::string Quoted(absl::string_view etag) { return absl::StrCat("\"", etag, "\""); }
std::string Unquoted(absl::string_view etag) {
  absl::ConsumePrefix(&etag, "\"");
  absl::ConsumeSuffix(&etag, "\"");
  return std::string(etag);
}

absl::Time ParseTime(const char* text) {
  absl::Time time = absl::InfiniteFuture();  // what cannot be read is not old
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return absl::InfiniteFuture();
  return time;
}

}  // namespace

struct Bucket::Request {
  const char* operation;
  const char* method;
  std::string path;  // with the bucket's
  std::map<std::string, std::string> query = {};
  std::vector<std::string> headers = {};
  absl::string_view body = {};
  // Where the body of a success goes, and how long it must be; null: into Response::text.
  char* buffer = nullptr;
  size_t size = 0;
  int64_t offset = 0;  // of the range that goes into the buffer
  long seconds = 0;    // 0: until it stalls
};

struct Bucket::Response {
  long status = 0;
  std::string text;
  std::string etag;
  int64_t length = -1;
  // While it comes.
  CURL* handle = nullptr;
  char* buffer = nullptr;
  size_t size = 0;
  size_t received = 0;
};

absl::StatusOr<std::unique_ptr<Bucket>> Bucket::Create(BucketOptions options) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) return absl::InternalError("libcurl cannot be initialised");
  std::unique_ptr<Bucket> bucket(new Bucket(std::move(options)));
  absl::string_view url = bucket->options_.url;
  if (absl::ConsumePrefix(&url, "https://")) {
    bucket->scheme_ = "https";
  } else if (absl::ConsumePrefix(&url, "http://")) {
    bucket->scheme_ = "http";
  } else {
    return BadUrl("it has another scheme");
  }
  absl::ConsumeSuffix(&url, "/");
  const size_t host_end = url.find('/');
  if (host_end == absl::string_view::npos || host_end == 0) return BadUrl("it names no bucket");
  bucket->host_ = std::string(url.substr(0, host_end));
  absl::string_view path = url.substr(host_end);
  if (!IsPlain(path) || absl::StrContains(path, "//") || absl::StrContains(path, "/.")) {
    return BadUrl("bucket and prefix have letters, digits, '-', '.' and '_'");
  }
  if (absl::StrContains(bucket->host_, "@")) return BadUrl("keys belong into --blob-s3-credentials");
  if (bucket->scheme_ == "http" && !IsLoopback(bucket->host_)) {
    return BadUrl("without TLS only a loopback address is allowed");
  }
  const size_t bucket_end = path.find('/', 1);
  bucket->bucket_path_ = std::string(path.substr(0, bucket_end));
  if (bucket_end != absl::string_view::npos) bucket->prefix_ = absl::StrCat(path.substr(bucket_end + 1), "/");
  RETURN_IF_ERROR(bucket->Credentials().status());
  return bucket;
}

Bucket::~Bucket() {
  absl::MutexLock lock(&mutex_);
  for (void* handle : idle_) curl_easy_cleanup(handle);
}

absl::StatusOr<BucketCredentials> Bucket::Credentials() {
  absl::MutexLock lock(&mutex_);
  struct stat now;
  const std::string& path = options_.credentials_file;
  if (stat(path.c_str(), &now) != 0) {
    return Misconfigured(
        absl::StrCat("cannot read the file of --blob-s3-credentials, ", path, ": ", std::strerror(errno)));
  }
  const bool is_same = now.st_ino == credentials_stat_.st_ino && now.st_dev == credentials_stat_.st_dev &&
                       now.st_size == credentials_stat_.st_size &&
                       now.st_mtim.tv_sec == credentials_stat_.st_mtim.tv_sec &&
                       now.st_mtim.tv_nsec == credentials_stat_.st_mtim.tv_nsec;
  if (is_same) return credentials_;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<BucketCredentials> read = ParseBucketCredentials(text);
  if (!read.ok()) {
    // Somebody may be writing it: what was read before is good until it is whole.
    if (!credentials_.access_key.empty()) return credentials_;
    return read.status();
  }
  credentials_ = *std::move(read);
  credentials_stat_ = now;
  return credentials_;
}

std::string Bucket::PathOf(absl::string_view key) const {
  return absl::StrCat(bucket_path_, "/", prefix_, key);
}

absl::StatusOr<Bucket::Response> Bucket::Perform(const Request& request) {
  absl::Duration delay = kFirstDelay;
  for (int attempt = 1;; ++attempt) {
    bool passing = false;
    absl::StatusOr<Response> response = Attempt(request, &passing);
    if (response.ok() || !passing || attempt == kAttempts) return response;
    if (options_.sleep) {
      options_.sleep(delay);
    } else {
      absl::SleepFor(delay);
    }
    delay *= 2;
  }
}

absl::StatusOr<Bucket::Response> Bucket::Attempt(const Request& request, bool* passing) {
  ASSIGN_OR_RETURN(const BucketCredentials credentials, Credentials());
  CURL* handle = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      handle = idle_.back();
      idle_.pop_back();
    }
  }
  if (handle == nullptr) handle = curl_easy_init();
  if (handle == nullptr) return absl::ResourceExhaustedError("libcurl has no memory");
  curl_slist* headers = nullptr;
  absl::Cleanup release = [&] {
    curl_slist_free_all(headers);
    curl_easy_reset(handle);  // keeps its connections
    absl::MutexLock lock(&mutex_);
    if (idle_.size() < kMaxIdleHandles) {
      idle_.push_back(handle);
    } else {
      curl_easy_cleanup(handle);
    }
  };

  std::string url = absl::StrCat(scheme_, "://", host_, request.path);
  if (!request.query.empty()) absl::StrAppend(&url, "?", CanonicalQuery(request.query));
  // libcurl 7.88 does not add this header, which S3 wants, and signs what it finds in it.
  std::vector<std::string> lines = {absl::StrCat("x-amz-content-sha256: ", crypto::Sha256Hex(request.body))};
  if (!credentials.session_token.empty())
    lines.push_back(absl::StrCat("x-amz-security-token: ", credentials.session_token));
  lines.insert(lines.end(), request.headers.begin(), request.headers.end());
  for (const std::string& line : lines) headers = curl_slist_append(headers, line.c_str());

  Response response;
  response.handle = handle;
  response.buffer = request.buffer;
  response.size = request.size;
  const auto receive = +[](char* data, size_t, size_t count, void* user) -> size_t {
    Response& into = *static_cast<Response*>(user);
    long status = 0;
    curl_easy_getinfo(into.handle, CURLINFO_RESPONSE_CODE, &status);
    if (into.buffer != nullptr && status == 206) {
      if (count > into.size - into.received) return 0;
      std::memcpy(into.buffer + into.received, data, count);
    } else {
      if (into.text.size() + count > kMaxTextBytes) return 0;
      into.text.append(data, count);
    }
    into.received += count;
    return count;
  };
  char error[CURL_ERROR_SIZE] = "";
  const absl::string_view method = request.method;
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(handle, CURLOPT_AWS_SIGV4, absl::StrCat("aws:amz:", options_.region, ":s3").c_str());
  curl_easy_setopt(handle, CURLOPT_USERNAME, credentials.access_key.c_str());
  curl_easy_setopt(handle, CURLOPT_PASSWORD, credentials.secret_key.c_str());
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  if (request.seconds > 0) {
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, request.seconds);
  } else {
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  }
  if (!options_.ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, options_.ca_file.c_str());
  if (method == "HEAD") {
    curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  } else if (method == "PUT" || method == "POST") {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data() == nullptr ? "" : request.body.data());
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
    if (method == "PUT") curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, "PUT");
  } else {
    curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
    if (method == "DELETE") curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, "DELETE");
  }
  if (request.buffer != nullptr) {
    const int64_t last = request.offset + static_cast<int64_t>(request.size) - 1;
    curl_easy_setopt(handle, CURLOPT_RANGE, absl::StrCat(request.offset, "-", last).c_str());
  }
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &response);

  const CURLcode result = curl_easy_perform(handle);
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &response.status);
  if (options_.on_request) {
    options_.on_request(request.operation, result == CURLE_OK ? absl::StrCat(response.status) : "none");
  }
  if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE) {
    return Misconfigured(absl::StrCat("The certificate of ", host_, " is not vouched for by --blob-s3-ca: ",
                                      error[0] != '\0' ? error : curl_easy_strerror(result)));
  }
  if (result != CURLE_OK) {
    *passing = true;
    return Error(absl::StatusCode::kUnavailable, "BUCKET_UNAVAILABLE",
                 absl::StrCat("The bucket at ", host_, " does not answer ", request.operation, ": ",
                              error[0] != '\0' ? error : curl_easy_strerror(result), "; try again."));
  }
  curl_off_t length = -1;
  curl_easy_getinfo(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  response.length = length;
  curl_header* etag = nullptr;
  if (curl_easy_header(handle, "ETag", 0, CURLH_HEADER, -1, &etag) == CURLHE_OK) {
    response.etag = Unquoted(etag->value);
  }
  // S3 may find out while it completes an upload, and has said 200 by then.
  const bool is_late_error =
      response.status == 200 && request.seconds > 0 && absl::StrContains(response.text, "<Error>");
  if (response.status / 100 == 2 && !is_late_error) {
    if (request.buffer != nullptr && (response.status != 206 || response.received != request.size)) {
      return absl::InternalError(absl::StrCat("The bucket answered a range of ", request.size, " bytes with ",
                                              response.received, " and status ", response.status));
    }
    return response;
  }
  *passing = is_late_error || (response.status >= 500 && response.status != 501 && response.status != 507) ||
             response.status == 429 || response.status == 408;
  return ErrorOf(request, response);
}

absl::Status Bucket::ErrorOf(const Request& request, const Response& response) const {
  pugi::xml_document document;
  document.load_buffer(response.text.data(), response.text.size());
  const pugi::xml_node node = document.child("Error");
  const std::string code = node.child_value("Code");
  const std::string said = absl::StrCat("the bucket answered ", request.operation, " with ", response.status,
                                        code.empty() ? "" : " ", code, ": ", node.child_value("Message"));
  const auto is = [&](std::initializer_list<absl::string_view> codes) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
  };
  if (is({"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}) ||
      response.status == 507) {
    return Error(
        absl::StatusCode::kResourceExhausted, "DISK_FULL",
        "The store's bucket is full. Nothing that was committed is lost; go on once the operator has "
        "made room.");
  }
  if (is({"NoSuchBucket"})) return Misconfigured(absl::StrCat("--blob-s3 names no bucket: ", said));
  if (is({"AuthorizationHeaderMalformed", "PermanentRedirect", "AuthorizationQueryParametersError"}) ||
      response.status == 301 || response.status == 307) {
    return Misconfigured(absl::StrCat("--blob-s3-region is not the bucket's region: ", said));
  }
  if (is({"RequestTimeTooSkewed"}))
    return Misconfigured(absl::StrCat("this machine's clock is wrong: ", said));
  // versitygw's word for an access key that it does not know is XAdminUserNotFound.
  if (response.status == 401 || response.status == 403 || is({"XAdminUserNotFound", "InvalidAccessKeyId"})) {
    return Misconfigured(
        absl::StrCat("The key of --blob-s3-credentials, ", options_.credentials_file,
                     ", may not do this in the bucket of --blob-s3, or is not this server's: ", said));
  }
  if (is({"InvalidPart", "InvalidPartOrder", "EntityTooSmall"})) {
    return Error(absl::StatusCode::kFailedPrecondition, "PARTS_CHANGED", said);
  }
  if (response.status == 501) return absl::UnimplementedError(said);
  if (response.status == 404) return absl::NotFoundError(said);
  if (response.status == 409 || response.status == 412)
    return Error(absl::StatusCode::kAborted, "PRECONDITION", said);
  if (response.status >= 500 || response.status == 429 || response.status == 408 || response.status == 200) {
    return Error(absl::StatusCode::kUnavailable, "BUCKET_UNAVAILABLE", absl::StrCat(said, "; try again"));
  }
  return absl::InternalError(said);
}

absl::StatusOr<Bucket::Object> Bucket::Head(absl::string_view key) {
  ASSIGN_OR_RETURN(const Response response,
                   Perform({.operation = "HeadObject", .method = "HEAD", .path = PathOf(key)}));
  return Object{std::string(key), response.length, response.etag, absl::InfiniteFuture()};
}

absl::StatusOr<std::string> Bucket::Get(absl::string_view key, std::string* etag) {
  ASSIGN_OR_RETURN(Response response,
                   Perform({.operation = "GetObject", .method = "GET", .path = PathOf(key)}));
  if (etag != nullptr) *etag = response.etag;
  return std::move(response.text);
}

absl::Status Bucket::GetRange(absl::string_view key, int64_t offset, char* buffer, size_t size) {
  if (size == 0) return absl::OkStatus();
  return Perform({.operation = "GetObject",
                  .method = "GET",
                  .path = PathOf(key),
                  .buffer = buffer,
                  .size = size,
                  .offset = offset})
      .status();
}

absl::StatusOr<std::string> Bucket::Put(absl::string_view key, absl::string_view bytes,
                                        absl::string_view expected_etag) {
  Request request = {.operation = "PutObject", .method = "PUT", .path = PathOf(key), .body = bytes};
  if (expected_etag == kNone) {
    request.headers = {"If-None-Match: *"};
  } else if (expected_etag != kAny) {
    request.headers = {absl::StrCat("If-Match: ", Quoted(expected_etag))};
  }
  absl::StatusOr<Response> response = Perform(request);
  if (absl::IsUnimplemented(response.status()) && !request.headers.empty()) {
    request.headers.clear();
    response = Perform(request);
  }
  RETURN_IF_ERROR(response.status());
  return response->etag;
}

absl::Status Bucket::Delete(absl::string_view key) {
  const absl::Status status =
      Perform({.operation = "DeleteObject", .method = "DELETE", .path = PathOf(key)}).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status Bucket::List(absl::string_view prefix, absl::FunctionRef<absl::Status(const Object&)> visit) {
  Request request = {.operation = "ListObjectsV2",
                     .method = "GET",
                     .path = bucket_path_,
                     .query = {{"list-type", "2"}, {"prefix", absl::StrCat(prefix_, prefix)}}};
  while (true) {
    ASSIGN_OR_RETURN(const Response response, Perform(request));
    pugi::xml_document document;
    if (!document.load_buffer(response.text.data(), response.text.size()))
      return absl::InternalError("The bucket's list of objects cannot be read.");
    const pugi::xml_node result = document.child("ListBucketResult");
    for (const pugi::xml_node& node : result.children("Contents")) {
      absl::string_view key = node.child_value("Key");
      if (!absl::ConsumePrefix(&key, prefix_)) continue;
      RETURN_IF_ERROR(
          visit({std::string(key), node.child("Size").text().as_llong(), Unquoted(node.child_value("ETag")),
                 ParseTime(node.child_value("LastModified"))}));
    }
    const std::string next = result.child_value("NextContinuationToken");
    if (absl::string_view(result.child_value("IsTruncated")) != "true" || next.empty())
      return absl::OkStatus();
    request.query["continuation-token"] = next;
  }
}

absl::StatusOr<std::string> Bucket::CreateMultipart(absl::string_view key) {
  ASSIGN_OR_RETURN(const Response response, Perform({.operation = "CreateMultipartUpload",
                                                     .method = "POST",
                                                     .path = PathOf(key),
                                                     .query = {{"uploads", ""}}}));
  pugi::xml_document document;
  document.load_buffer(response.text.data(), response.text.size());
  std::string upload_id = document.child("InitiateMultipartUploadResult").child_value("UploadId");
  if (upload_id.empty()) return absl::InternalError("The bucket began an upload and gave it no name.");
  return upload_id;
}

absl::StatusOr<std::string> Bucket::UploadPart(absl::string_view key, absl::string_view upload_id, int number,
                                               absl::string_view bytes) {
  ASSIGN_OR_RETURN(
      const Response response,
      Perform({.operation = "UploadPart",
               .method = "PUT",
               .path = PathOf(key),
               .query = {{"partNumber", absl::StrCat(number)}, {"uploadId", std::string(upload_id)}},
               .body = bytes}));
  if (response.etag.empty()) return absl::InternalError("The bucket took a part and gave it no entity tag.");
  return response.etag;
}

absl::Status Bucket::CompleteMultipart(absl::string_view key, absl::string_view upload_id,
                                       const std::vector<std::string>& etags) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("CompleteMultipartUpload");
  for (size_t i = 0; i < etags.size(); ++i) {
    pugi::xml_node part = root.append_child("Part");
    part.append_child("PartNumber").text().set(absl::StrCat(i + 1).c_str());
    part.append_child("ETag").text().set(Quoted(etags[i]).c_str());
  }
  struct Text : pugi::xml_writer {
    std::string bytes;
    void write(const void* data, size_t size) override { bytes.append(static_cast<const char*>(data), size); }
  } text;
  document.save(text, "", pugi::format_raw);
  return Perform({.operation = "CompleteMultipartUpload",
                  .method = "POST",
                  .path = PathOf(key),
                  .query = {{"uploadId", std::string(upload_id)}},
                  .body = text.bytes,
                  .seconds = kCompletionSeconds})
      .status();
}

absl::Status Bucket::AbortMultipart(absl::string_view key, absl::string_view upload_id) {
  const absl::Status status = Perform({.operation = "AbortMultipartUpload",
                                       .method = "DELETE",
                                       .path = PathOf(key),
                                       .query = {{"uploadId", std::string(upload_id)}}})
                                  .status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status Bucket::ListMultiparts(
    absl::string_view prefix,
    absl::FunctionRef<absl::Status(const std::string&, const std::string&, absl::Time)> visit) {
  Request request = {.operation = "ListMultipartUploads",
                     .method = "GET",
                     .path = bucket_path_,
                     .query = {{"prefix", absl::StrCat(prefix_, prefix)}, {"uploads", ""}}};
  while (true) {
    ASSIGN_OR_RETURN(const Response response, Perform(request));
    pugi::xml_document document;
    if (!document.load_buffer(response.text.data(), response.text.size()))
      return absl::InternalError("The bucket's list of uploads cannot be read.");
    const pugi::xml_node result = document.child("ListMultipartUploadsResult");
    for (const pugi::xml_node& node : result.children("Upload")) {
      absl::string_view key = node.child_value("Key");
      if (!absl::ConsumePrefix(&key, prefix_)) continue;
      RETURN_IF_ERROR(
          visit(std::string(key), node.child_value("UploadId"), ParseTime(node.child_value("Initiated"))));
    }
    if (absl::string_view(result.child_value("IsTruncated")) != "true") return absl::OkStatus();
    request.query["key-marker"] = result.child_value("NextKeyMarker");
    request.query["upload-id-marker"] = result.child_value("NextUploadIdMarker");
  }
}

absl::StatusOr<std::string> Bucket::PresignedUrl(absl::string_view key, absl::Time now,
                                                 absl::Duration lifetime) {
  ASSIGN_OR_RETURN(const BucketCredentials credentials, Credentials());
  return PresignGet(scheme_, host_, PathOf(key), options_.region, credentials, now, lifetime);
}

}  // namespace countersign::package_store
