/* SPDX-License-Identifier: Apache-2.0 */
/* Gives every file of a folder to the fuzz target: what was found once stays fixed. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "fuzz.h"

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    int count = 0;
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = file_join(argv[1], entry->d_name);
        CLEAN_BUF struct buf bytes = BUF_EMPTY;
        if (path == NULL || file_read(path, (size_t)64 << 20, &bytes) < 0) {
            (void)fprintf(stderr, "%s: not readable\n", entry->d_name);
            free(path);
            (void)closedir(folder);
            return 1;
        }
        free(path);
        /* Exactly as large as the input, so that the sanitizer sees one byte too many. */
        uint8_t *copy = malloc(bytes.size > 0 ? bytes.size : 1);
        ASSERT(copy != NULL);
        if (bytes.size > 0)
            memcpy(copy, bytes.data, bytes.size);
        (void)LLVMFuzzerTestOneInput(copy, bytes.size);
        free(copy);
        count++;
    }
    (void)closedir(folder);
    (void)printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
