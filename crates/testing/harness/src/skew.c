/* Sets the clock of a program ahead by STOA_SKEW_S seconds, or behind where that is less than zero. Steady clocks stay as they are. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    const char *skew = getenv("STOA_SKEW_S");
    if (failed == 0 && skew != NULL && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += atol(skew);
    return failed;
}
