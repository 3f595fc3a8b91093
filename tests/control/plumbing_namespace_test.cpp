// Namespaces, commands in them, and noticing their end. Needs root.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "control/namespace.hpp"
#include "control/netlink.hpp"
#include "control/spawned_command.hpp"
#include "control/target_watch.hpp"

namespace pasta::control {
namespace {

constexpr int patience_ms = 10000;

bool wait_readable(int fd) {
    pollfd waiting{fd, POLLIN, 0};
    return poll(&waiting, 1, patience_ms) == 1;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of our own, removed at the end.
class Scratch {
  public:
    Scratch() {
        char name[] = "/tmp/p-plumbing-XXXXXX";
        if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = name;
    }
    ~Scratch() { std::filesystem::remove_all(path_); }
    std::string operator/(const std::string& file) const { return path_ + "/" + file; }

  private:
    std::string path_;
};

/// A child that does nothing until it is killed.
class Sleeper {
  public:
    Sleeper() : pid_(fork()) {
        if (pid_ == 0)
            for (;;)
                pause();
    }
    ~Sleeper() { end(); }
    void end() {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
    pid_t pid() const { return pid_; }

  private:
    pid_t pid_;
};

TEST(Netns, WorkRunsInsideAndTheCallerStaysOutside) {
    const Netns before = Netns::current(), netns = Netns::create_private();
    EXPECT_FALSE(netns == before);
    EXPECT_TRUE(run_in_netns(netns, [&] { return Netns::current() == netns; }));
    EXPECT_TRUE(Netns::current() == before);
}

TEST(Netns, WhatTheWorkThrowsReachesTheCaller) {
    const Netns netns = Netns::create_private();
    EXPECT_THROW(run_in_netns(netns, []() -> int { throw std::out_of_range("here"); }),
                 std::out_of_range);
}

TEST(Netns, PrivateOneHasLoopbackUpAndNoIpv6) {
    const Netns netns = Netns::create_private();
    Netlink netlink(netns);
    ASSERT_EQ(netlink.links().size(), 1U);
    EXPECT_TRUE(netlink.links()[0].up);
    EXPECT_TRUE(netlink.links()[0].loopback);
    EXPECT_TRUE(netlink.addresses(AF_INET6).empty());
    EXPECT_EQ(run_in_netns(
                  netns, [] { return read_file("/proc/sys/net/ipv6/conf/default/disable_ipv6"); }),
              "1\n");
}

TEST(Netns, MissingOneIsNamedInTheError) {
    try {
        Netns::open("p-no-such-namespace");
        FAIL();
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), ENOENT);
        EXPECT_NE(std::string(error.what()).find("/run/netns/p-no-such-namespace"),
                  std::string::npos);
    }
    EXPECT_THROW(Netns::of_process(0x3fffffff), std::system_error);
}

TEST(Netns, FileThatIsNoNamespaceCannotBeEntered) {
    const Netns not_one = Netns::open("/dev/null");
    EXPECT_THROW(run_in_netns(not_one, [] {}), std::system_error);
}

TEST(SpawnedCommand, ExitStatusIsThatOfTheCommand) {
    SpawnedCommand command({"sh", "-c", "exit 7"});
    EXPECT_EQ(command.exit_status(), std::nullopt);
    command.release();
    EXPECT_TRUE(wait_readable(command.pidfd()));
    EXPECT_EQ(command.exit_status(), 7);
    EXPECT_EQ(command.wait(), 7);
}

TEST(SpawnedCommand, ExitStatusAfterASignalIs128AndTheSignal) {
    SpawnedCommand command({"sh", "-c", "kill -USR1 $$"});
    command.release();
    EXPECT_EQ(command.wait(), 128 + SIGUSR1);
}

TEST(SpawnedCommand, RunsOnlyAfterReleaseInItsOwnNamespace) {
    const Scratch scratch;
    const std::string out = scratch / "out";
    SpawnedCommand command(
        {"sh", "-c", "(ls /sys/class/net; cat /proc/sys/net/ipv4/ping_group_range) > " + out});
    const Netns netns = command.netns();
    EXPECT_FALSE(netns == Netns::current());
    EXPECT_EQ(Netlink(netns).links().size(), 1U);
    EXPECT_FALSE(std::filesystem::exists(out));
    command.release();
    EXPECT_EQ(command.wait(), 0);
    EXPECT_EQ(read_file(out), "lo\n0\t2147483647\n");
}

TEST(SpawnedCommand, CommandThatDoesNotExistIsNamedInTheError) {
    SpawnedCommand command({"/p-no-such-command", "-x"});
    try {
        command.release();
        FAIL();
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), ENOENT);
        EXPECT_NE(std::string(error.what()).find("/p-no-such-command"), std::string::npos);
    }
}

TEST(SpawnedCommand, IsEndedWithItsObject) {
    pid_t released = -1, waiting = -1;
    {
        SpawnedCommand command({"sleep", "1000"}), never_released({"sleep", "1000"});
        command.release();
        released = command.pid();
        waiting = never_released.pid();
        EXPECT_EQ(kill(released, 0), 0);
    }
    EXPECT_EQ(kill(released, 0), -1);
    EXPECT_EQ(kill(waiting, 0), -1);
}

TEST(SpawnedCommand, BlockedAndIgnoredSignalsAreNotInherited) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    const auto old_handler = signal(SIGPIPE, SIG_IGN);
    SpawnedCommand command({"sh", "-c", "kill -PIPE $$; exit 1"});
    SpawnedCommand terminated({"sh", "-c", "kill -TERM $$; exit 1"});
    command.release();
    terminated.release();
    EXPECT_EQ(command.wait(), 128 + SIGPIPE);
    EXPECT_EQ(terminated.wait(), 128 + SIGTERM);
    signal(SIGPIPE, old_handler);
    sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST(TargetWatch, ProcessIsGoneWhenItEnds) {
    Sleeper sleeper;
    DirectoryWatch directories;
    TargetWatch watch = TargetWatch::process(sleeper.pid());
    TargetWatch by_path =
        TargetWatch::file("/proc/" + std::to_string(sleeper.pid()) + "/ns/net", directories);
    EXPECT_FALSE(watch.gone());
    EXPECT_FALSE(by_path.gone());
    sleeper.end();
    EXPECT_TRUE(wait_readable(watch.fd()));
    EXPECT_TRUE(watch.gone());
    EXPECT_TRUE(wait_readable(by_path.fd()));
    EXPECT_TRUE(by_path.gone());
    EXPECT_EQ(directories.fd(), -1);
    EXPECT_THROW(TargetWatch::process(0x3fffffff), std::system_error);
}

/// Waits for news of the directories and takes them.
bool wait_for_change(DirectoryWatch& directories) {
    const bool changed = wait_readable(directories.fd());
    directories.consume();
    return changed;
}

TEST(TargetWatch, FileIsGoneWhenItIsDeletedButNotWhenANeighbourIs) {
    const Scratch scratch;
    DirectoryWatch directories;
    std::ofstream(scratch / "ns") << "x";
    std::ofstream(scratch / "other") << "x";
    TargetWatch watch = TargetWatch::file(scratch / "ns", directories);
    EXPECT_FALSE(watch.gone());
    std::filesystem::remove(scratch / "other");
    EXPECT_TRUE(wait_for_change(directories));
    EXPECT_FALSE(watch.gone());
    std::filesystem::remove(scratch / "ns");
    EXPECT_TRUE(wait_for_change(directories));
    EXPECT_TRUE(watch.gone());
}

TEST(TargetWatch, FileIsGoneWhenAnotherTakesItsPlace) {
    const Scratch scratch;
    DirectoryWatch directories;
    std::ofstream(scratch / "ns") << "x";
    TargetWatch watch = TargetWatch::file(scratch / "ns", directories);
    std::ofstream(scratch / "new") << "x";
    std::filesystem::rename(scratch / "new", scratch / "ns");
    EXPECT_TRUE(wait_for_change(directories));
    EXPECT_TRUE(watch.gone());
    EXPECT_THROW(TargetWatch::file(scratch / "never", directories), std::system_error);
}

// More than a user has inotify instances.
TEST(TargetWatch, HundredsOfFilesShareOneInstance) {
    const Scratch scratch;
    DirectoryWatch directories;
    std::vector<TargetWatch> watches;
    constexpr int files = 1000;
    for (int i = 0; i < files; ++i) {
        const std::string directory = scratch / std::to_string(i % 2);
        std::filesystem::create_directories(directory);
        std::ofstream(directory + "/" + std::to_string(i)) << "x";
        watches.push_back(TargetWatch::file(directory + "/" + std::to_string(i), directories));
    }
    directories.consume();
    std::filesystem::remove(scratch / "1/501");
    EXPECT_TRUE(wait_for_change(directories));
    for (size_t i = 0; i < files; ++i)
        EXPECT_EQ(watches[i].gone(), i == 501) << i;
}

/// Watches as the kernel lists them in proc(5)'s fdinfo.
size_t watched_directories(const DirectoryWatch& directories) {
    const std::string info = read_file("/proc/self/fdinfo/" + std::to_string(directories.fd()));
    size_t count = 0;
    for (size_t at = 0; (at = info.find("inotify wd:", at)) != std::string::npos; ++at)
        ++count;
    return count;
}

TEST(DirectoryWatch, WatchesADirectoryAsLongAsSomebodyAsksForIt) {
    const Scratch scratch;
    std::filesystem::create_directory(scratch / "other");
    DirectoryWatch directories;
    DirectoryWatch::Handle first = directories.add(scratch / "."),
                           second = directories.add(scratch / ""),
                           other = directories.add(scratch / "other");
    EXPECT_EQ(watched_directories(directories), 2u);
    first.reset();
    directories.consume();
    std::ofstream(scratch / "new") << "x";
    EXPECT_TRUE(wait_for_change(directories));
    second.reset();
    EXPECT_EQ(watched_directories(directories), 1u);
    first = directories.add(scratch / "");
    EXPECT_EQ(watched_directories(directories), 2u);
    EXPECT_THROW(directories.add(scratch / "never"), std::system_error);
}

// As when a runner keeps its namespaces in a directory for each job.
TEST(DirectoryWatch, DirectoryMayGoAndComeBack) {
    const Scratch scratch;
    const std::string directory = scratch / "job/";
    std::filesystem::create_directory(directory);
    std::ofstream(directory + "ns") << "x";
    DirectoryWatch directories;
    TargetWatch before = TargetWatch::file(directory + "ns", directories);
    std::filesystem::remove_all(directory);
    EXPECT_TRUE(wait_for_change(directories));
    EXPECT_TRUE(before.gone());
    std::filesystem::create_directory(directory);
    std::ofstream(directory + "ns") << "x";
    TargetWatch again = TargetWatch::file(directory + "ns", directories);
    EXPECT_FALSE(again.gone());
    directories.consume();
    std::filesystem::remove(directory + "ns");
    EXPECT_TRUE(wait_for_change(directories));
    EXPECT_TRUE(again.gone());
}

}  // namespace
}  // namespace pasta::control
