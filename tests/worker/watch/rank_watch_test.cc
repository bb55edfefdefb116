// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/rank_watch.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <time.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/support/run_ranks.h"
#include "worker/watch/process_pulse.h"

namespace ferment::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// How one rank's watch ended its process, which here is a test.
struct Ending {
  std::promise<int> left;
  std::string reported;

  /// `limits` that nothing reaches but what the test means to.
  RankWatchOptions Options(const WatchLimits& limits) {
    return {.limits = limits,
            .beat = milliseconds(5),
            .job = "cotrain",
            .report = [this](int code, const std::string& message) { reported = std::to_string(code) + " " + message; },
            .leave = [this](int code) { left.set_value(code); }};
  }
};

WatchLimits Patient() {
  return {.farewell = seconds(0), .silence = seconds(600), .idle = seconds(600), .wait = seconds(600)};
}

WatchMeeting Meet(Collective& world) {
  auto meeting = MeetForWatch(world);
  EXPECT_TRUE(meeting) << meeting.error().ToString();
  return *std::move(meeting);
}

class RankWatchOf : public ::testing::TestWithParam<int> {};

TEST_P(RankWatchOf, RanksThatLeaveInGoodOrderEndNothing) {
  testing::RunRanks(GetParam(), [](Collective& world) {
    RankBoard board;
    Ending ending;
    auto options = ending.Options(Patient());
    options.leave = [](int code) { ADD_FAILURE() << "left with " << code; };
    const auto watch = RankWatch::Start(world, board, options);
    EXPECT_EQ(watch == nullptr, world.size() == 1);
    for (int step = 0; step < 20; ++step) {
      board.EnterStep(static_cast<std::uint64_t>(step));
      ASSERT_TRUE(world.Barrier().ok());
    }
  });
}
INSTANTIATE_TEST_SUITE_P(Ranks, RankWatchOf, ::testing::Values(1, 2, 3, 8));

TEST(RankWatch, RankZeroAloneTellsHowLongEachRankHasBeenIdle) {
  testing::RunRanks(3, [](Collective& world) {
    RankBoard board;
    board.EnterStep(1);
    Ending ending;
    auto options = ending.Options(Patient());
    std::promise<std::vector<double>> told;
    std::atomic<int> beats = 0;
    options.tell_idle = [&](const std::vector<double>& idle) {
      if (++beats == 3) told.set_value(idle);
    };
    auto watch = RankWatch::Start(world, board, options);
    ASSERT_NE(watch, nullptr);
    if (world.rank() == 0) {
      const std::vector<double> idle = told.get_future().get();
      ASSERT_EQ(idle.size(), 3U);
      for (const double of_rank : idle) EXPECT_GE(of_rank, 0);
    }
    ASSERT_TRUE(world.Barrier().ok());
    watch.reset();
    EXPECT_EQ(beats > 0, world.rank() == 0);
  });
}

TEST(RankWatch, RankZeroNamesTheDeadAndTellsTheOthersToLeave) {
  testing::RunRanks(3, [&](Collective& world) {
    WatchMeeting meeting = Meet(world);
    const RankName dead = meeting.names[2];
    if (world.rank() == 2) {
      meeting.links[0]->Send({.kind = WatchFrame::Kind::kSign, .sign = {.step = 41, .collectives = 97}});
      ASSERT_TRUE(world.Barrier().ok());
      return;  // closes the link
    }
    RankBoard board;
    Ending ending;
    const RankWatch watch(world.rank(), std::move(meeting), board, ending.Options(Patient()));
    ASSERT_TRUE(world.Barrier().ok());
    EXPECT_EQ(ending.left.get_future().get(), exit_code::kPeerLost);
    if (world.rank() != 0) return;
    for (const std::string& part :
         {std::string("201 rank 2 is dead"), "host=" + dead.host, "pid=" + std::to_string(dead.pid),
          std::string("phase=cotrain"), std::string("step=41"), std::string("collective=97")})
      EXPECT_NE(ending.reported.find(part), std::string::npos) << part << " in " << ending.reported;
  });
}

TEST(RankWatch, RankZeroNamesTheSilentAndTheOthersLeaveWith203) {
  testing::RunRanks(2, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() == 1) {
      meeting.links[0]->Send({.kind = WatchFrame::Kind::kSign, .sign = {.step = 5}});
      const auto told =
          meeting.links[0]->Await(WatchFrame::Kind::kLeave, std::chrono::steady_clock::now() + seconds(100));
      ASSERT_TRUE(told);
      EXPECT_EQ(told->exit_code, exit_code::kHang);
      return;
    }
    RankBoard board;
    Ending ending;
    WatchLimits limits = Patient();
    limits.silence = milliseconds(100);
    const RankWatch watch(0, std::move(meeting), board, ending.Options(limits));
    EXPECT_EQ(ending.left.get_future().get(), exit_code::kHang);
    EXPECT_NE(ending.reported.find("rank 1 is stopped"), std::string::npos) << ending.reported;
    EXPECT_NE(ending.reported.find("step=5"), std::string::npos) << ending.reported;
  });
}

TEST(RankWatch, ARankThatSaysItSleepsWhileRankZeroWaitsIsNamedStuck) {
  testing::RunRanks(2, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() == 1) {
      WatchLink& link = *meeting.links[0];
      while (!link.closed()) {
        link.Send({.kind = WatchFrame::Kind::kSign, .sign = {.step = 6, .activity = Activity::kStepping}});
        if (link.Await(WatchFrame::Kind::kLeave, std::chrono::steady_clock::now() + milliseconds(5))) return;
      }
      ADD_FAILURE() << "not told";
      return;
    }
    RankBoard board;
    board.EnterStep(6);
    board.BeginCollective(Verb::kAllReduce);
    Ending ending;
    WatchLimits limits = Patient();
    limits.idle = milliseconds(100);
    const RankWatch watch(0, std::move(meeting), board, ending.Options(limits));
    EXPECT_EQ(ending.left.get_future().get(), exit_code::kHang);
    EXPECT_NE(ending.reported.find("rank 1 is stuck"), std::string::npos) << ending.reported;
  });
}

TEST(RankWatch, ARankThatWorksOnWhileOthersWaitIsNamedLongBeforeTheJobEnds) {
  ::testing::internal::CaptureStderr();
  testing::RunRanks(2, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() == 1) {
      RankSign sign{.step = 6, .collectives = 31, .activity = Activity::kStepping};
      do {
        sign.cpu_microseconds += 900'000;
        meeting.links[0]->Send({.kind = WatchFrame::Kind::kSign, .sign = sign});
      } while (!meeting.links[0]->Await(WatchFrame::Kind::kLeave, std::chrono::steady_clock::now() + milliseconds(5)));
      return;
    }
    RankBoard board;
    board.BeginCollective(Verb::kAllReduce);
    Ending ending;
    WatchLimits limits = Patient();
    limits.patience = milliseconds(50);
    limits.wait = seconds(2);
    const RankWatch watch(0, std::move(meeting), board, ending.Options(limits));
    EXPECT_EQ(ending.left.get_future().get(), exit_code::kHang);
  });
  const std::string log = ::testing::internal::GetCapturedStderr();
  const std::size_t warned = log.find("rank_awaited");
  ASSERT_LT(warned, log.find("rank_lost")) << log;
  const std::string line = log.substr(warned, log.find('\n', warned) - warned);
  for (const char* part : {"awaited_rank=1", "phase=cotrain", "step=6", "activity=stepping", "collective=31", "pid="}) {
    EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
  }
  EXPECT_EQ(log.find("rank_awaited", warned + 1), std::string::npos) << log;
}

TEST(RankWatch, ARankZeroThatWasLostTakesTheOthersWordForItAndBlamesNobodyWhoLeft) {
  testing::RunRanks(4, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() > 0) {
      // One that knew of it, between two that mpirun ended for it.
      if (world.rank() == 2) {
        meeting.links[0]->Send(
            {.kind = WatchFrame::Kind::kNamed, .rank = 2, .sign = {.step = 77}, .silent_ms = 15'500});
      }
      meeting.links.clear();
      ASSERT_TRUE(world.Barrier().ok());
      return;
    }
    ASSERT_TRUE(world.Barrier().ok());  // stopped until here
    RankBoard board;
    Ending ending;
    const RankWatch watch(0, std::move(meeting), board, ending.Options(Patient()));
    EXPECT_EQ(ending.left.get_future().get(), exit_code::kHang);
    for (const char* part : {"203 rank 0 is stopped", "step=77", "seconds=15.5", "named_by_rank=2"})
      EXPECT_NE(ending.reported.find(part), std::string::npos) << part << " in " << ending.reported;
  });
}

TEST(RankWatch, ARankZeroThatWasLateStillNamesTheOneThatDied) {
  testing::RunRanks(3, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() > 0) {
      if (world.rank() == 2) meeting.links.clear();
      ASSERT_TRUE(world.Barrier().ok());
      ASSERT_TRUE(world.Barrier().ok());
      return;
    }
    ASSERT_TRUE(world.Barrier().ok());
    RankBoard board;
    Ending ending;
    WatchLimits limits = Patient();
    limits.late = milliseconds(0);
    {
      const RankWatch watch(0, std::move(meeting), board, ending.Options(limits));
      EXPECT_EQ(ending.left.get_future().get(), exit_code::kPeerLost);
    }
    EXPECT_NE(ending.reported.find("201 rank 2 is dead"), std::string::npos) << ending.reported;
    ASSERT_TRUE(world.Barrier().ok());
  });
}

/// Rank 0 meets the others and then goes on without a watch.
void ExpectRankZeroNamed(const WatchLimits& limits, bool closes, int code) {
  testing::RunRanks(3, [&](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() == 0) {
      if (closes) meeting.links.clear();
      for (std::size_t peer = 1; peer < meeting.links.size(); ++peer) {
        const auto word =
            meeting.links[peer]->Await(WatchFrame::Kind::kNamed, std::chrono::steady_clock::now() + seconds(100));
        ASSERT_TRUE(word);
        EXPECT_EQ(word->rank, static_cast<int>(peer));
        EXPECT_GE(word->silent_ms, limits.silence.count());
      }
      ASSERT_TRUE(world.Barrier().ok());
      return;
    }
    RankBoard board;
    Ending ending;
    const RankWatch watch(world.rank(), std::move(meeting), board, ending.Options(limits));
    EXPECT_EQ(ending.left.get_future().get(), code);
    EXPECT_EQ(ending.reported, "");  // only rank 0 may speak to the coordinator
    ASSERT_TRUE(world.Barrier().ok());
  });
}

TEST(RankWatch, TheOthersNameADeadRankZero) { ExpectRankZeroNamed(Patient(), true, exit_code::kPeerLost); }

TEST(RankWatch, TheOthersNameASilentRankZero) {
  WatchLimits limits = Patient();
  limits.silence = milliseconds(100);
  ExpectRankZeroNamed(limits, false, exit_code::kHang);
}

TEST(RankWatch, ARankThatSaidFarewellAndIsGoneIsNotDead) {
  testing::RunRanks(2, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() == 1) {
      meeting.links[0]->Send({.kind = WatchFrame::Kind::kFarewell});
      meeting.links.clear();
      ASSERT_TRUE(world.Barrier().ok());
      return;
    }
    ASSERT_TRUE(world.Barrier().ok());
    RankBoard board;
    Ending ending;
    auto options = ending.Options(Patient());
    options.leave = [](int code) { ADD_FAILURE() << "left with " << code; };
    const auto begin = std::chrono::steady_clock::now();
    { const RankWatch watch(0, std::move(meeting), board, options); }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(25)) << "waited for a rank that has left";
  });
}

TEST(RankWatch, AfterARankThatEndsTheJobItselfNobodyIsNamed) {
  testing::RunRanks(3, [](Collective& world) {
    WatchMeeting meeting = Meet(world);
    if (world.rank() > 0) {
      if (world.rank() == 1) meeting.links[0]->Send({.kind = WatchFrame::Kind::kFarewell, .exit_code = 65});
      ASSERT_TRUE(world.Barrier().ok());  // rank 2 dies of it
      meeting.links.clear();
      ASSERT_TRUE(world.Barrier().ok());
      return;
    }
    ASSERT_TRUE(world.Barrier().ok());
    RankBoard board;
    Ending ending;
    auto options = ending.Options(Patient());
    std::atomic<int> verdicts = 0;
    options.leave = [&](int) { ++verdicts; };
    {
      RankWatch watch(0, std::move(meeting), board, options);
      ASSERT_TRUE(world.Barrier().ok());
      watch.AwaitVerdict(milliseconds(100));  // comes back where there is none
    }
    EXPECT_EQ(verdicts, 0);
  });
}

void BurnTwentyMilliseconds() {
  timespec own = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
  const timespec begin = own;
  while ((own.tv_sec - begin.tv_sec) * 1'000'000'000 + own.tv_nsec - begin.tv_nsec < 20'000'000)
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
}

TEST(ProcessPulse, CountsTheOtherThreadsAlone) {
  const std::uint64_t before = PulseOfThisProcess().cpu_microseconds;
  BurnTwentyMilliseconds();
  EXPECT_LT(PulseOfThisProcess().cpu_microseconds, before + 10'000) << "its own";
  std::thread(BurnTwentyMilliseconds).join();
  EXPECT_GE(PulseOfThisProcess().cpu_microseconds, before + 20'000);
}

TEST(WatchLink, AStrangerWithAnotherCookieIsCutOff) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const WatchLink stranger(ends[0], {1, 2});
  WatchLink ours(ends[1], {1, 3});
  stranger.Send({.kind = WatchFrame::Kind::kLeave, .exit_code = 1});
  EXPECT_TRUE(ours.Receive().empty());
  EXPECT_TRUE(ours.closed());
}

TEST(WatchLink, FramesComeInOrderAndAloneFromPieces) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  WatchLink ours(ends[1], {1, 2});
  WatchFrame frame = {.cookie = {1, 2}, .kind = WatchFrame::Kind::kSign, .sign = {.step = 9}};
  const char* bytes = reinterpret_cast<const char*>(&frame);
  ASSERT_EQ(send(ends[0], bytes, 10, 0), 10);
  EXPECT_TRUE(ours.Receive().empty());
  ASSERT_EQ(send(ends[0], bytes + 10, sizeof(frame) - 10, 0), static_cast<ssize_t>(sizeof(frame) - 10));
  frame.sign.step = 10;
  ASSERT_EQ(send(ends[0], bytes, sizeof(frame), 0), static_cast<ssize_t>(sizeof(frame)));
  const auto frames = ours.Receive();
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].sign.step, 9U);
  EXPECT_EQ(frames[1].sign.step, 10U);
  close(ends[0]);
  EXPECT_TRUE(ours.Receive().empty());
  EXPECT_TRUE(ours.closed());
}

TEST(WatchPort, IsReachedByEachOfThisHostsAddresses) {
  const auto port = WatchPort::Open();
  ASSERT_TRUE(port) << port.error().ToString();
  const auto addresses = AddressesOfThisHost();
  ASSERT_FALSE(addresses.empty());
  for (const std::string& address : addresses) {
    const auto handle = ConnectTo(address, port->port(), std::chrono::steady_clock::now() + seconds(10));
    ASSERT_TRUE(handle) << handle.error().ToString();
    close(*handle);
  }
}

TEST(WatchPort, ARefusedConnectionSaysWhere) {
  int number = 0;
  {
    const auto port = WatchPort::Open();
    ASSERT_TRUE(port);
    number = port->port();
  }
  const auto handle = ConnectTo("127.0.0.1", number, std::chrono::steady_clock::now() + seconds(10));
  ASSERT_FALSE(handle);
  EXPECT_NE(handle.error().message().find("127.0.0.1 port " + std::to_string(number)), std::string::npos);
}

}  // namespace
}  // namespace ferment::worker
