/* A libnvidia-ml.so.1 that answers like boards that NVML serves badly.
 *
 * The real nvidia-ml-py loads it by name (LD_LIBRARY_PATH); what it lacks raises
 * FunctionNotFound there. Two settings, each an environment variable:
 *
 *   NVML_STUB          profile: gpu (all works), orin, thor, gb10, a100, none (no device)
 *   NVML_STUB_SCRIPT   a file of `key value` lines, read again at every call, so that a
 *                      test changes the board while it is measured:
 *     wave constant MW | square LOW_MW HIGH_MW PERIOD_MS     power as a function of CLOCK_MONOTONIC
 *     counter_step_ms N    the energy counter moves every N ms (default 20; a100: 100)
 *     counter_zero_ns T    the counter counts from this instant of CLOCK_MONOTONIC: a reset
 *     sm_mhz N, memory_mhz N, reasons BITS, temperature_c N, used_bytes N
 *     process PID BYTES    a process on the GPU (repeatable)
 *     lost 1               the GPU has fallen off the bus
 *     refuse FUNCTION CODE this one function fails (repeatable)
 *
 * Profiles, with what is known (measurement.md 2.1 and 2.2) and what is assumed:
 *   orin   starts, then NotSupported for every query (IPW #40)
 *   thor   MemoryInfo NotSupported (cosmos-reason1 #61), processes work (jetson_stats #849);
 *          power and energy assumed NotSupported
 *   gb10   MemoryInfo NotSupported; power works; the energy counter is assumed to work
 *   a100   power is the mean of the last 25 ms of every 100 ms (arXiv 2312.02741): three
 *          quarters of the time are never seen; the counter steps every 100 ms and sees all
 *
 * -DOLD_DRIVER leaves out nvmlDeviceGetFieldValues, the event reasons and the present version of
 * the lists of processes, as a driver before they existed does.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, NOT_SUPPORTED = 3, INVALID = 2, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { AVERAGE = 185, INSTANT = 186, SCOPE_GPU = 0, TYPE_UNSIGNED_INT = 1 };
#define MOST_PROCESSES 16
#define MS 1000000LL

typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct {
    uint32_t field, scope;
    int64_t timestamp, latency;
    uint32_t type, result;
    union { double d; unsigned u; unsigned long long ull; } value;
} field_value;

typedef struct {
    int is_square, lost, refused;
    double low_mw, high_mw, period_ms, step_ms;
    long long zero_ns;
    unsigned sm_mhz, memory_mhz, temperature_c, process_count;
    unsigned long long reasons, used_bytes;
    process processes[MOST_PROCESSES];
} board;

static int profile_is(const char *name)
{
    const char *profile = getenv("NVML_STUB");
    return strcmp(profile ? profile : "gpu", name) == 0;
}

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Reads the script; `function` is the one that asks, so that it can be refused. */
static board read_board(const char *function)
{
    board b = {0};
    b.low_mw = b.high_mw = 21500;
    b.period_ms = 1000;
    b.step_ms = profile_is("a100") ? 100 : 20;
    b.sm_mhz = 1410, b.memory_mhz = 1215, b.temperature_c = 45, b.used_bytes = 1 << 30;
    const char *path = getenv("NVML_STUB_SCRIPT");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256], word[64];
    while (file && fgets(line, sizeof line, file)) {
        process p = {0};
        int code;
        if (sscanf(line, "wave constant %lf", &b.low_mw) == 1) b.is_square = 0, b.high_mw = b.low_mw;
        else if (sscanf(line, "wave square %lf %lf %lf", &b.low_mw, &b.high_mw, &b.period_ms) == 3) b.is_square = 1;
        else if (sscanf(line, "counter_step_ms %lf", &b.step_ms) == 1) continue;
        else if (sscanf(line, "counter_zero_ns %lld", &b.zero_ns) == 1) continue;
        else if (sscanf(line, "sm_mhz %u", &b.sm_mhz) == 1) continue;
        else if (sscanf(line, "memory_mhz %u", &b.memory_mhz) == 1) continue;
        else if (sscanf(line, "reasons %llu", &b.reasons) == 1) continue;
        else if (sscanf(line, "temperature_c %u", &b.temperature_c) == 1) continue;
        else if (sscanf(line, "used_bytes %llu", &b.used_bytes) == 1) continue;
        else if (sscanf(line, "lost %d", &b.lost) == 1) continue;
        else if (sscanf(line, "process %u %llu", &p.pid, &p.used) == 2 && b.process_count < MOST_PROCESSES)
            b.processes[b.process_count++] = p;
        else if (sscanf(line, "refuse %63s %d", word, &code) == 2 && strcmp(word, function) == 0) b.refused = code;
    }
    if (file) fclose(file);
    return b;
}

/* Energy in mJ from the zero of the clock to t: the integral of the wave, in closed form. */
static double energy_mj(const board *b, long long t_ns)
{
    double t_s = t_ns * 1e-9, period_s = b->period_ms * 1e-3;
    if (!b->is_square) return b->low_mw * t_s;
    double turns = (double)(long long)(t_s / period_s), rest_s = t_s - turns * period_s, half_s = period_s / 2;
    double part = rest_s < half_s ? b->low_mw * rest_s : b->low_mw * half_s + b->high_mw * (rest_s - half_s);
    return turns * (b->low_mw + b->high_mw) * half_s + part;
}

static double power_mw(const board *b, long long t_ns)
{
    if (profile_is("a100")) {
        long long seen_ns = t_ns / (100 * MS) * (100 * MS);
        return (energy_mj(b, seen_ns) - energy_mj(b, seen_ns - 25 * MS)) / 25e-3;
    }
    double rest = (t_ns / 1e6) / b->period_ms;
    rest -= (double)(long long)rest;
    return b->is_square && rest >= 0.5 ? b->high_mw : b->low_mw;
}

static int judge(const board *b, int is_supported)
{
    if (b->lost) return GPU_IS_LOST;
    if (b->refused) return b->refused;
    return is_supported && !profile_is("orin") ? OK : NOT_SUPPORTED;
}

int nvmlInit_v2(void) { return OK; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "999.0"); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = profile_is("none") ? 0 : 1; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = NULL; return index ? INVALID : OK; }

int nvmlDeviceGetName(void *device, char *text, unsigned size)
{
    (void)device;
    snprintf(text, size, "stub %s", getenv("NVML_STUB") ? getenv("NVML_STUB") : "gpu");
    return OK;
}

/* Hopper; zeus asks for it. */
int nvmlDeviceGetArchitecture(void *device, unsigned *architecture)
{
    (void)device;
    *architecture = 9;
    return OK;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *mw)
{
    (void)device;
    board b = read_board("nvmlDeviceGetPowerUsage");
    *mw = (unsigned)(power_mw(&b, now_ns()) + 0.5);
    return judge(&b, !profile_is("thor"));
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
    (void)device;
    board b = read_board("nvmlDeviceGetTotalEnergyConsumption");
    long long step_ns = (long long)(b.step_ms * 1e6), t_ns = now_ns() / step_ns * step_ns;
    double counted = energy_mj(&b, t_ns) - energy_mj(&b, b.zero_ns);
    *mj = counted > 0 ? (unsigned long long)counted : 0;
    return judge(&b, !profile_is("thor"));
}

int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz)
{
    (void)device;
    board b = read_board("nvmlDeviceGetClockInfo");
    *mhz = kind == 2 ? b.memory_mhz : b.sm_mhz;
    return judge(&b, 1);
}

int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius)
{
    (void)device, (void)sensor;
    board b = read_board("nvmlDeviceGetTemperature");
    *celsius = b.temperature_c;
    return judge(&b, 1);
}

int nvmlDeviceGetMemoryInfo(void *device, memory *found)
{
    (void)device;
    board b = read_board("nvmlDeviceGetMemoryInfo");
    found->total = 80ULL << 30, found->used = b.used_bytes, found->free = found->total - found->used;
    return judge(&b, !profile_is("thor") && !profile_is("gb10"));
}

#ifndef OLD_DRIVER
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, process *found)
{
    (void)device, (void)found;
    board b = read_board("nvmlDeviceGetGraphicsRunningProcesses");
    *count = 0;
    return judge(&b, 1);
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process *found)
{
    (void)device;
    board b = read_board("nvmlDeviceGetComputeRunningProcesses");
    int result = judge(&b, 1);
    unsigned room = *count;
    *count = b.process_count;
    if (result != OK) return result;
    if (b.process_count && (!found || room < b.process_count)) return INSUFFICIENT_SIZE;
    if (found) memcpy(found, b.processes, b.process_count * sizeof *found);
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *reasons)
{
    (void)device;
    board b = read_board("nvmlDeviceGetCurrentClocksEventReasons");
    *reasons = b.reasons;
    return judge(&b, 1);
}

int nvmlDeviceGetFieldValues(void *device, int count, field_value *fields)
{
    (void)device;
    board b = read_board("nvmlDeviceGetFieldValues");
    int result = judge(&b, 1);
    for (int i = 0; i < count && result == OK; i++) {
        int is_known = fields[i].scope == SCOPE_GPU && (fields[i].field == AVERAGE || fields[i].field == INSTANT);
        fields[i].type = TYPE_UNSIGNED_INT;
        fields[i].result = is_known && !profile_is("thor") ? OK : NOT_SUPPORTED;
        long long t_ns = now_ns();
        double mw = power_mw(&b, t_ns);
        if (fields[i].field == AVERAGE)
            mw = (energy_mj(&b, t_ns) - energy_mj(&b, t_ns - 1000 * MS)) / 1.0;
        fields[i].value.u = (unsigned)(mw + 0.5);
    }
    return result;
}
#endif
