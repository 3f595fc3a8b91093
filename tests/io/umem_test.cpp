#include "dataplane/io/umem.hpp"

#include <gtest/gtest.h>

#include <system_error>

#include "control/namespace.hpp"

namespace pasta::io {
namespace {

TEST(Umem, IsCutIntoWholeChunks) {
    const auto netns = control::Netns::create_private();
    control::run_in_netns(netns, [] {
        Umem umem(10 * core::chunk_size + 100);
        EXPECT_EQ(umem.size(), 10U);
        EXPECT_EQ(umem.arena().data(3) - umem.arena().data(0), 3 * 4096);
        EXPECT_GE(umem.fd(), 0);
    });
}

TEST(Umem, RefusedRegistrationNamesTheStep) {
    const auto netns = control::Netns::create_private();
    control::run_in_netns(netns, [] {
        try {
            Umem umem(0);
            FAIL() << "a UMEM without memory";
        } catch (const std::system_error& error) {
            EXPECT_NE(std::string(error.what()).find("UMEM"), std::string::npos) << error.what();
        }
    });
}

}  // namespace
}  // namespace pasta::io
