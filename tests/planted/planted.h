/* The bugs that can be planted, and who finds them: "sim" is hakuban-sim, everything else the name
 * of a test. */
#ifndef TESTS_PLANTED_PLANTED_H
#define TESTS_PLANTED_PLANTED_H

#include <stdbool.h>

/* One a line: CMake reads them too. */
#define PLANTED_BUGS(X)                                                                            \
    X(closed_channel, "sim", "a state from a closed channel is accepted")                          \
    X(late_difference, "sim",                                                                      \
      "what comes on a closed channel must still be a difference to something")                    \
    X(wall_clock, "sim", "versions are the clock's, whatever the floor is")                        \
    X(delta_key, "sim", "a kept difference is found by its result alone, not by its base")         \
    X(one_side_forgets, "sim", "after a return one side does not say again what was lost")         \
    X(contract_leak, "sim", "the memory of a contract is not given back")                          \
    X(short_length, "sim", "the length of a state in parts is counted in 16 bits")                 \
    X(no_window, "sim", "a link says more than its window has room for")                           \
    X(grace_timer, "sim", "the time of grace goes on after the return")                            \
    X(select_twice, "sim", "two that served themselves and meet both stay chosen")                 \
    X(tag_leak, "sim", "who only exposes a tag gets the states of its objects")                    \
    X(keep_alive_by_writing, "sim", "writing counts as a sign of life of the other side")          \
    X(load_kept, "sim", "an object that is taken from an exposer stays on its account")            \
    X(no_threshold, "sim", "objects are moved however little is won by it")                        \
    X(for_ever_live, "sim", "a state stays LIVE when nobody exposes it any more")                  \
    X(floor_lost, "sim", "an exposer is not told that newer versions are known")                   \
    X(bases_kept, "sim", "older states are kept though no link stands on them any more")           \
    X(close_lost, "sim", "the observers of a tag are not told that an object ended")               \
    X(never_taken_back, "sim", "an upstream is not told that nobody wants an object any more")     \
    X(source_lost, "sim", "a state that goes out swallows the news about its source")              \
    X(declines_for_ever, "sim", "who once had no room never takes that back")                      \
    X(memory_ignored, "sim", "a registration for which there is no memory is forgotten")           \
    X(stream_gap, "sim", "the next exposer's stream ends while the one before it still closes")    \
    X(left_too_soon, "sim.hand_over", "who is left alone begins before the one before has closed") \
    X(hand_over_time, "sim.hand_over",                                                             \
      "a hand-over has what is left of the time of the one before")                                \
    X(source_in_a_moment, "sim.links", "who serves it counts from the end of the packet on")       \
    X(remembered_for_ever, "sim.pass", "what is remembered stays when its last observer goes")     \
    X(says_on, "unit.link.link", "a link goes on to talk after a message that it could not write") \
    X(no_retry, "sim.memory", "an object without memory for its observers is never tried again")   \
    X(no_check, "sim.strangers", "the hash of what a difference results in is not compared")       \
    X(any_utf8, "unit.json.canonical", "text that is not UTF-8 is accepted in JSON")               \
    X(partial_write, "unit.transports.conformance", "what the kernel did not take is lost")        \
    X(emfile_spins, "unit.transports.sockets", "without descriptors accepting goes on at once")    \
    X(zmq_stale_session, "unit.transports.zmq", "late messages of an old peer begin a session")

/* Plants name in this process; NULL: none. false: this build has no planted bugs. */
bool planted_set(const char *name);

#endif
