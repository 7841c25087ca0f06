/*
 * An addon that faults on memory of its own, and handles SIGSEGV or SIGBUS in the ways that native code has.
 * Compiled by the tests: only the few functions of Node-API that it needs, declared by hand.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
int napi_get_value_int64(napi_env, napi_value, int64_t *);
int napi_create_int64(napi_env, int64_t, napi_value *);

enum { PAGE = 65536 };

/* What a handler does with a fault on our own page: makes the page accessible, jumps out, or nothing. */
enum { REPAIR = 0, JUMP = 1, NOTHING = 2 };

static volatile char *page;
static int way, name;
static bool chains;
static volatile int64_t calls;
static struct sigaction old[64];
static sigjmp_buf back;

static int64_t argument(napi_env env, napi_callback_info info, size_t index) {
  napi_value values[8];
  size_t count = 8;
  int64_t value = 0;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  if (index < count) napi_get_value_int64(env, values[index], &value);
  return value;
}

static napi_value number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

static void handler(int signal, siginfo_t *info, void *context) {
  char *address = info->si_addr;
  calls++;
  if (info->si_code > 0 && address >= (char *)page && address < (char *)page + PAGE) {
    if (way == REPAIR) mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE);
    if (way == JUMP) siglongjmp(back, 1);
    if (way != NOTHING) return;
  }
  /* Nobody's: tell, and pass it on or leave it to the kernel. */
  char line[] = {'h', (char)name, '\n'};
  (void)!write(1, line, sizeof line);
  const struct sigaction *next = &old[signal];
  if (chains && (next->sa_flags & SA_SIGINFO)) {
    next->sa_sigaction(signal, info, context);
  } else if (chains && next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) {
    next->sa_handler(signal);
  } else if (way != NOTHING) {
    sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  }
}

/* install(signal, name, way, chains, flags): puts the handler on top. */
static napi_value install(napi_env env, napi_callback_info info) {
  int signal = (int)argument(env, info, 0);
  name = (int)argument(env, info, 1);
  way = (int)argument(env, info, 2);
  chains = argument(env, info, 3) != 0;
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | (int)argument(env, info, 4)};
  return number(env, sigaction(signal, &action, &old[signal]));
}

/* touch(): faults on the page of our own; returns how often the handler was called so far, -1 if it jumped. */
static napi_value touch(napi_env env, napi_callback_info info) {
  (void)info;
  mprotect((void *)page, PAGE, PROT_NONE);
  if (way == JUMP && sigsetjmp(back, 1) != 0) return number(env, -1);
  page[0] = 1;
  return number(env, calls);
}

static napi_value count(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, calls);
}

/* poke(address): writes there. */
static napi_value poke(napi_env env, napi_callback_info info) {
  *(volatile char *)(uintptr_t)argument(env, info, 0) = 1;
  return number(env, 0);
}

/* jump(address): runs what is there. */
static napi_value jump(napi_env env, napi_callback_info info) {
  ((void (*)(void))(uintptr_t)argument(env, info, 0))();
  return number(env, 0);
}

static void export(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, strlen(name), callback, NULL, &function);
  napi_set_named_property(env, exports, name, function);
}

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) { return 8; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  export(env, exports, "install", install);
  export(env, exports, "touch", touch);
  export(env, exports, "count", count);
  export(env, exports, "poke", poke);
  export(env, exports, "jump", jump);
  return exports;
}
