// Runs tests/scripts/*.pkt: TCP conversations on virtual time, one event a line.
//
//   +0.5                    half a second passes
//   iss GUEST OURS          initial sequence numbers of the next connection
//   < S 0(0) win 1000       the guest sends a segment: flags (S F R P U .), sequence
//                           number(length), then "ack N", "win N", "mss N", "scale N" as wanted,
//                           or "options HEX" with all options as they are ("-" for none)
//   > S. 0(0) ack 1         the guest receives exactly this, before anything else that is listed;
//                           "win N" is compared when given
//   >                       the guest receives nothing (more)
//   host connected          connect(2) ends; or: host failed ERRNO-NAME
//   host accepts            a client's connection for the guest comes in
//   host sends N            the peer's data arrives; likewise: host closes, host resets
//   host takes N            the socket takes N bytes from now on; or: host takes all
//   expect NAME N           of the host's last socket: taken, read, shut, closed, aborted; or
//                           sockets (opened in all); or of the engine: flows
//   # comment
//
// Numbers are relative, window fields as on the wire. All that the guest received has to be listed
// before the next "<", "+" or "host" line, and at the end.

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/hex.hpp"
#include "tests/support/tcp_fixture.hpp"

namespace pasta::core {
namespace {

namespace fs = std::filesystem;

fs::path scripts() {
    return fs::path(__FILE__).parent_path().parent_path() / "scripts";
}

class Script : public test::TcpFixture, public ::testing::WithParamInterface<std::string> {
  protected:
    void run_line(const std::string& text) {
        std::istringstream words(text);
        std::string verb;
        words >> verb;
        if (verb.empty() || verb[0] == '#') return;
        if (verb == ">") return expect_received(text);
        if (verb == "expect") return expect_state(words);
        expect_nothing_more();
        if (verb == "<")
            guest_sends(words);
        else if (verb == "host")
            host_does(words);
        else if (verb == "iss")
            choose_sequence(words);
        else if (verb[0] == '+')
            pass(static_cast<Time>(std::stod(verb) * second));
        else
            FAIL() << "unknown verb";
        output();
        next_received_ = 0;
    }
    void expect_nothing_more() {
        EXPECT_EQ(next_received_, received.size())
            << "not expected: " << line(received[next_received_]);
        next_received_ = received.size();
    }

  private:
    void guest_sends(std::istringstream& words) {
        std::string flags, numbers, option;
        words >> flags >> numbers;
        test::GuestSegment s;
        s.header.window = 64240;
        for (const char c : flags)
            s.flags(flag(c));
        size_t end = 0;
        s.header.seq = static_cast<uint32_t>(std::stoul(numbers, &end));
        s.length = std::stoul(numbers.substr(end + 1));
        if (s.header.has(wire::tcp_syn)) s.mss(1000).scale(0);
        for (std::string text; words >> option >> text;) {
            if (option == "ack")
                s.header.ack = static_cast<uint32_t>(std::stoul(text));
            else if (option == "win")
                s.header.window = static_cast<uint16_t>(std::stoul(text));
            else if (option == "mss")
                s.header.mss = static_cast<uint16_t>(std::stoul(text));
            else if (option == "scale")
                s.header.window_scale = static_cast<uint8_t>(std::stoul(text));
            else if (option == "options")
                s.options = test::hex(text == "-" ? "" : text);
            else
                FAIL() << "unknown option " << option;
        }
        inject(s);
    }
    static uint8_t flag(char c) {
        switch (c) {
            case 'S':
                return wire::tcp_syn;
            case 'F':
                return wire::tcp_fin;
            case 'R':
                return wire::tcp_rst;
            case 'P':
                return wire::tcp_psh;
            case 'U':
                return wire::tcp_urg;
            case '.':
                return wire::tcp_ack;
            default:
                ADD_FAILURE() << "unknown flag " << c;
                return 0;
        }
    }
    void choose_sequence(std::istringstream& words) {
        uint32_t ours = 0;
        words >> guest_iss >> ours;
        choose_iss(ours);
    }
    void host_does(std::istringstream& words) {
        std::string what, argument;
        words >> what >> argument;
        if (what == "connected")
            connected(current);
        else if (what == "accepts")
            client_connects();
        else if (what == "failed")
            engine.on_connect_failed(socket().flow, error_named(argument));
        else if (what == "sends")
            peer_sends(std::stoul(argument));
        else if (what == "closes")
            peer_closes();
        else if (what == "resets")
            peer_resets();
        else if (what == "takes")
            host_takes(argument == "all" ? SIZE_MAX : std::stoul(argument));
        else
            FAIL() << "unknown host event";
    }
    static int error_named(const std::string& name) {
        if (name == "ECONNREFUSED") return ECONNREFUSED;
        if (name == "EHOSTUNREACH") return EHOSTUNREACH;
        if (name == "ETIMEDOUT") return ETIMEDOUT;
        ADD_FAILURE() << "unknown error " << name;
        return 0;
    }
    void expect_received(const std::string& text) {
        std::string wanted = text.substr(1);
        wanted.erase(0, wanted.find_first_not_of(' '));
        if (wanted.empty()) return expect_nothing_more();
        ASSERT_LT(next_received_, received.size()) << "the guest received nothing more";
        const test::SentSegment& segment = received[next_received_++];
        std::string actual =
            segment.frame.ip.protocol == wire::protocol_tcp ? line(segment) : "icmp";
        if (wanted.find(" win ") != std::string::npos)
            actual += " win " + std::to_string(segment.header.window);
        EXPECT_EQ(actual, wanted);
    }
    void expect_state(std::istringstream& words) {
        std::string name;
        size_t value = 0;
        words >> name >> value;
        const test::HostSocket s = sockets.contains(current) ? socket() : test::HostSocket{};
        const std::map<std::string, size_t> state{
            {"taken", s.taken},       {"read", s.read},       {"shut", s.shut},
            {"closed", s.closed},     {"aborted", s.aborted}, {"sockets", sockets.size()},
            {"flows", engine.flows()}};
        ASSERT_TRUE(state.contains(name)) << "unknown name";
        EXPECT_EQ(state.at(name), value);
    }

    size_t next_received_ = 0;
};

TEST_P(Script, runs_as_written) {
    std::ifstream file(scripts() / (GetParam() + ".pkt"));
    ASSERT_TRUE(file);
    std::string text;
    for (int number = 1; std::getline(file, text); ++number) {
        SCOPED_TRACE(GetParam() + ".pkt:" + std::to_string(number) + ": " + text);
        run_line(text);
        if (HasFatalFailure()) return;
    }
    expect_nothing_more();
}

std::vector<std::string> all_scripts() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(scripts()))
        if (entry.path().extension() == ".pkt") names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    return names;
}

INSTANTIATE_TEST_SUITE_P(Files, Script, ::testing::ValuesIn(all_scripts()),
                         [](const auto& script) { return script.param; });

TEST(Scripts, are_found) {
    EXPECT_GE(all_scripts().size(), 10u);
}

}  // namespace
}  // namespace pasta::core
