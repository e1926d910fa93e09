/* Loaded into a program, it answers for the name in RESOLVE_NAME with the address in the file RESOLVE_TO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    const char *name = getenv("RESOLVE_NAME"), *path = getenv("RESOLVE_TO");
    char address[64] = "";
    if (node == NULL || name == NULL || path == NULL || strcmp(node, name) != 0)
        return real(node, service, hints, found);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return EAI_NONAME;
    if (fgets(address, sizeof address, file) == NULL)
        address[0] = 0;
    fclose(file);
    return address[0] == 0 ? EAI_NONAME : real(address, service, hints, found);
}
