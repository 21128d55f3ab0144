/* Preloaded, makes the calendar go back by an hour at each look; the steady clock stays as it is.
 */
#include <dlfcn.h>
#include <time.h>

static time_t backwards(void) {
    static time_t now = 2000000000;
    return now -= 3600;
}

time_t time(time_t *t) {
    time_t now = backwards();
    if (t != NULL)
        *t = now;
    return now;
}

int clock_gettime(clockid_t id, struct timespec *t) {
    int (*real)(clockid_t, struct timespec *);

    if (id == CLOCK_REALTIME) {
        *t = (struct timespec){backwards(), 0};
        return 0;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(id, t);
}
