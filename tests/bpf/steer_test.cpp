// bpf/steer.bpf.c as a function: a frame in, a verdict out.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <cstring>
#include <vector>

#include "tests/io/veth_lab.hpp"

namespace pasta::testing {
namespace {

/// Runs the program on a frame that arrives on queue 0 of the loopback. The first `linear` bytes
/// are what the program can read directly, the rest is in fragments; by default as the kernel
/// likes.
uint32_t verdict_of(const control::SteerProgram& program, std::vector<uint8_t> frame,
                    size_t linear = 0) {
    std::vector<uint8_t> out(frame.size());
    xdp_md context{};
    context.data_end = static_cast<uint32_t>(linear != 0 ? linear : frame.size());
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame.data();
    options.data_size_in = static_cast<uint32_t>(frame.size());
    options.data_out = out.data();
    options.data_size_out = static_cast<uint32_t>(out.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    options.repeat = 1;
    const int error = bpf_prog_test_run_opts(program.program_fd(), &options);
    EXPECT_EQ(error, 0) << std::strerror(-error);
    EXPECT_EQ(out, frame) << "the program must not change the frame";
    return options.retval;
}

TEST(Steer, FrameForAQueueWithoutSocketIsDroppedAndCounted) {
    const control::SteerProgram program;
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(60)), uint32_t{XDP_DROP});
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(1514)), uint32_t{XDP_DROP});
    const control::SteerCounters counters = program.counters();
    EXPECT_EQ(counters.redirected, 0U);
    EXPECT_EQ(counters.no_socket, 2U);
    EXPECT_EQ(counters.runt, 0U);
}

TEST(Steer, FrameForAQueueWithSocketIsRedirectedAndCounted) {
    Lab lab;
    const auto guest = lab.guest("p-bpf");
    const auto port = lab.port(*guest);
    control::SteerProgram program;
    program.set_socket(0, port->fd());
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(60)), uint32_t{XDP_REDIRECT});
    // Of several pages.
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(9000)), uint32_t{XDP_REDIRECT});
    EXPECT_EQ(program.counters().redirected, 2U);
    EXPECT_EQ(program.counters().no_socket, 0U);
}

TEST(Steer, SocketOfAnotherQueueIsNotUsed) {
    Lab lab;
    const auto guest = lab.guest("p-bpf");
    const auto port = lab.port(*guest);
    control::SteerProgram program;
    program.set_socket(1, port->fd());
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(60)), uint32_t{XDP_DROP});
    EXPECT_EQ(program.counters().no_socket, 1U);
}

TEST(Steer, FrameWithoutAReadableEthernetHeaderIsDroppedAndCounted) {
    Lab lab;
    const auto guest = lab.guest("p-bpf");
    const auto port = lab.port(*guest);
    control::SteerProgram program;
    program.set_socket(0, port->fd());
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(60), 13), uint32_t{XDP_DROP});
    EXPECT_EQ(verdict_of(program, std::vector<uint8_t>(60), 14), uint32_t{XDP_REDIRECT});
    const control::SteerCounters counters = program.counters();
    EXPECT_EQ(counters.runt, 1U);
    EXPECT_EQ(counters.redirected, 1U);
    EXPECT_EQ(counters.no_socket, 0U);
}

TEST(Steer, QueueBeyondTheMapIsRefused) {
    Lab lab;
    const auto guest = lab.guest("p-bpf");
    const auto port = lab.port(*guest);
    control::SteerProgram program;
    EXPECT_THROW(program.set_socket(64, port->fd()), std::system_error);
}

}  // namespace
}  // namespace pasta::testing
