// Sends keypoints to a running `olift stream` and prints the joints that come back, with POSIX sockets alone.
//
//   olift stream --skeleton coco_17 --tcp 5000 &
//   c++ -std=c++17 -O2 examples/stream_client.cpp -o stream_client
//   tracker | ./stream_client 127.0.0.1 5000 > joints.txt
//
// A line of numbers goes in for each frame: x, y and confidence of each joint, in the order of the skeleton, with
// blanks between them; nan where a joint was not found. A line comes out: x, y and z of each joint, or an empty line
// where nothing was visible so far. At the end stderr tells how long the answers took.
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// A connection to a stream without delay (`--latency-frames 0`, as small-causal has it): each frame has its answer.
class Client {
 public:
  Client(const char* host, const char* port) {
    addrinfo wanted{}, *found = nullptr;
    wanted.ai_socktype = SOCK_STREAM;
    if (const int error = getaddrinfo(host, port, &wanted, &found)) throw std::runtime_error(gai_strerror(error));
    for (const addrinfo* at = found; at != nullptr && socket_ < 0; at = at->ai_next) {
      socket_ = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
      if (socket_ >= 0 && connect(socket_, at->ai_addr, at->ai_addrlen) != 0) {
        close(socket_);
        socket_ = -1;
      }
    }
    freeaddrinfo(found);
    if (socket_ < 0) throw std::runtime_error(std::string("no stream at ") + host + " " + port);
    const int yes = 1;
    std::signal(SIGPIPE, SIG_IGN);  // a stream that ends is an error of `send`, not the end of this program
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);  // each frame goes out at once
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(socket_); }

  // x, y, z of each joint in pixels, from x, y, confidence of each; empty where nothing was visible so far.
  std::vector<double> lift(const std::vector<double>& frame) {
    std::string line = "{\"keypoints\":[";
    for (size_t i = 0; i + 2 < frame.size(); i += 3) {
      const double x = frame[i], y = frame[i + 1], confidence = frame[i + 2];
      char point[96];
      std::snprintf(point, sizeof point, "[%.9g,%.9g,%.9g]", x, y, confidence);
      line += i == 0 ? "" : ",";
      line += std::isfinite(x) && std::isfinite(y) && std::isfinite(confidence) ? point : "null";
    }
    send_all(line + "]}\n");
    for (;;) {
      const std::string answer = next_line();
      if (answer.find("\"error\":") != std::string::npos) throw std::runtime_error(answer);
      const size_t joints = answer.find("\"joints\":");
      if (joints != std::string::npos) return numbers(answer.c_str() + joints + 9);
      std::cerr << answer << "\n";  // a warning
    }
  }

 private:
  // The numbers of [[x,y,z],[x,y,z],…]; none of null.
  static std::vector<double> numbers(const char* at) {
    std::vector<double> found;
    for (int depth = 0; *at != '\0' && *at != 'n'; ++at) {
      depth += (*at == '[') - (*at == ']');
      if (depth == 0) break;
      if (*at == '[' || *at == ',') {
        char* end = nullptr;
        const double value = std::strtod(at + 1, &end);
        if (end != at + 1) found.push_back(value);
      }
    }
    return found;
  }

  void send_all(const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t count = send(socket_, text.data() + sent, text.size() - sent, 0);
      if (count <= 0) throw std::runtime_error("the stream has closed the connection");
      sent += static_cast<size_t>(count);
    }
  }

  std::string next_line() {
    for (;;) {
      const size_t end = waiting_.find('\n');
      if (end != std::string::npos) {
        const std::string line = waiting_.substr(0, end);
        waiting_.erase(0, end + 1);
        return line;
      }
      char part[1 << 16];
      const ssize_t count = recv(socket_, part, sizeof part, 0);
      if (count <= 0) throw std::runtime_error("the stream has closed the connection");
      waiting_.append(part, static_cast<size_t>(count));
    }
  }

  int socket_ = -1;
  std::string waiting_;
};

std::vector<double> frame_of(const std::string& line) {
  std::vector<double> frame;
  const char* at = line.c_str();
  for (char* end = nullptr;; at = end) {
    const double value = std::strtod(at, &end);  // reads nan, too
    if (end == at) break;
    frame.push_back(value);
  }
  if (line.find_first_not_of(" \t\r", static_cast<size_t>(at - line.c_str())) != std::string::npos) {
    throw std::runtime_error("wanted numbers with blanks between them, got: " + line.substr(0, 80));
  }
  if (frame.empty() || frame.size() % 3 != 0) {
    throw std::runtime_error("wanted x, y and confidence of each joint, got " + std::to_string(frame.size()) +
                             " numbers");
  }
  return frame;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "usage: stream_client HOST PORT < FRAMES > JOINTS\n";
    return 2;
  }
  try {
    Client client(arguments[1], arguments[2]);
    std::vector<double> milliseconds;
    for (std::string line; std::getline(std::cin, line);) {
      const auto frame = frame_of(line);
      const auto start = std::chrono::steady_clock::now();
      const auto joints = client.lift(frame);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
      milliseconds.push_back(took.count());
      for (size_t i = 0; i < joints.size(); ++i) std::printf("%s%.9g", i == 0 ? "" : " ", joints[i]);
      std::printf("\n");
      std::fflush(stdout);
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    if (!milliseconds.empty()) {
      std::fprintf(stderr, "%zu frames; an answer took %.2f ms (median), %.2f ms at most\n", milliseconds.size(),
                   milliseconds[milliseconds.size() / 2], milliseconds.back());
    }
  } catch (const std::exception& error) {
    std::cerr << "stream_client: " << error.what() << "\n";
    return 2;
  }
  return 0;
}
