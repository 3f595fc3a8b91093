#include "dataplane/core/socket_op.hpp"

#include <gtest/gtest.h>

namespace pasta::core {
namespace {

TEST(SocketOps, order_is_kept_while_it_wraps_and_grows) {
    SocketOps ops;
    SocketHandle pushed = 0, popped = 0;
    for (int burst = 1; burst < 600; burst += 7) {
        for (int i = 0; i < burst; ++i)
            ops.push({{}, SocketOpKind::tcp_close, pushed++});
        for (int i = 0; i < burst / 2; ++i)
            ASSERT_EQ(ops.pop().socket, popped++);
        ASSERT_EQ(ops.size(), static_cast<size_t>(pushed - popped));
    }
    while (!ops.empty())
        ASSERT_EQ(ops.pop().socket, popped++);
    EXPECT_EQ(popped, pushed);
}

}  // namespace
}  // namespace pasta::core
