/* The tables of one exchange. Checks the form of a table, not what its functions do. */
#include "plugin/registry.h"

#define NAME_BYTES_MAX 32

/* The first members of every table. */
struct table_head {
    uint32_t size, abi;
};

static hakuban_status copy_table(void *copy, size_t copy_bytes, const void *ops, uint32_t abi,
                                 const char *kind, hakuban_error *reterr)
{
    struct table_head head;
    if (!ops) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "the %s has no table", kind);
    }
    memcpy(&head.size, ops, sizeof(head.size));
    if (head.size < sizeof(head)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT,
                                 "the %s's table does not say its size", kind);
    }
    memcpy(&head, ops, sizeof(head));
    if (head.abi != abi) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_UNSUPPORTED,
                                 "the %s was made for abi %u, this library has %u", kind,
                                 (unsigned)head.abi, (unsigned)abi);
    }
    memset(copy, 0, copy_bytes);
    memcpy(copy, ops, hkb_min(head.size, copy_bytes));
    return HAKUBAN_OK;
}

static hakuban_status check_name(const char *name, const char *kind, const char *what,
                                 hakuban_error *reterr)
{
    if (!name || !name[0]) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "the %s has no %s", kind, what);
    }
    if (!memchr(name, '\0', NAME_BYTES_MAX + 1)) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT,
                                 "the %s of the %s is longer than %d bytes", what, kind,
                                 NAME_BYTES_MAX);
    }
    return HAKUBAN_OK;
}

/* A function that a table must have. */
struct slot {
    const char *name;
    bool present;
};

static hakuban_status check_slots(const struct slot *slots, size_t count, const char *kind,
                                  const char *name, hakuban_error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        if (!slots[i].present) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_ARGUMENT, "the %s %s lacks %s()", kind,
                                     name, slots[i].name);
        }
    }
    return HAKUBAN_OK;
}

static hakuban_status check_place(size_t count, bool taken, const char *kind, const char *name,
                                  hakuban_error *reterr)
{
    if (taken) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_EXISTS, "there is a %s %s already", kind,
                                 name);
    }
    if (count == HKB_REGISTRY_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT, "no room for the %s %s: %d are there",
                                 kind, name, HKB_REGISTRY_MAX);
    }
    return HAKUBAN_OK;
}

/* Makes the registry's copy of an entry; NULL: out of memory, and *reterr says so. */
static void *keep(const hkb_registry *registry, const void *entry, size_t bytes,
                  hakuban_error *reterr)
{
    void *kept = hkb_alloc(registry->alloc, bytes);
    if (kept) {
        memcpy(kept, entry, bytes);
    } else {
        (void)hakuban_error_set(reterr, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    return kept;
}

static bool same_name(const char *known, const char *name, size_t name_bytes)
{
    return strlen(known) == name_bytes && memcmp(known, name, name_bytes) == 0;
}

void hkb_registry_init(hkb_registry *registry, const hakuban_alloc *alloc)
{
    *registry = (hkb_registry){.alloc = alloc ? alloc : hakuban_alloc_default()};
}

void hkb_compressor_end(const hkb_compressor *compressor, const hakuban_alloc *alloc, void *self)
{
    const hakuban_compressor_ops *ops = &compressor->ops;
    if (ops->done && (self || !ops->self_bytes)) {
        ops->done(self);
    }
    hkb_free(alloc, self, ops->self_bytes);
}

hakuban_status hkb_compressor_begin(const hkb_compressor *compressor, const hakuban_alloc *alloc,
                                    void **ret_self)
{
    const hakuban_compressor_ops *ops = &compressor->ops;
    void *self = NULL;
    if (ops->self_bytes && !(self = hkb_alloc(alloc, ops->self_bytes))) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    hakuban_status status = ops->init ? ops->init(self, alloc) : HAKUBAN_OK;
    if (status < 0) {
        hkb_compressor_end(compressor, alloc, self);
        return status;
    }
    *ret_self = self;
    return HAKUBAN_OK;
}

static hkb_compressor *compressor_free(const hakuban_alloc *alloc, hkb_compressor *entry)
{
    hkb_compressor_end(entry, alloc, entry->self);
    hkb_free(alloc, entry, sizeof(*entry));
    return NULL;
}

void hkb_registry_done(hkb_registry *registry)
{
    for (size_t i = 0; i < registry->transport_count; i++) {
        hkb_free(registry->alloc, registry->transports[i], sizeof(*registry->transports[i]));
    }
    for (size_t i = 0; i < registry->serializer_count; i++) {
        hkb_free(registry->alloc, registry->serializers[i], sizeof(*registry->serializers[i]));
    }
    for (size_t i = 0; i < registry->compressor_count; i++) {
        registry->compressors[i] = compressor_free(registry->alloc, registry->compressors[i]);
    }
    hkb_registry_init(registry, registry->alloc);
}

hakuban_status hkb_registry_add_transport(hkb_registry *registry, const hakuban_transport_ops *ops,
                                          void *param, hakuban_error *reterr)
{
    static const char kind[] = "transport";
    hkb_transport_entry entry = {.param = param}, *kept;
    hakuban_status status =
        copy_table(&entry.ops, sizeof(entry.ops), ops, HAKUBAN_TRANSPORT_ABI, kind, reterr);
    const char *scheme = entry.ops.scheme;
    if (status >= 0) {
        status = check_name(scheme, kind, "scheme", reterr);
    }
    if (status < 0) {
        return status;
    }
    const struct slot slots[] = {
        {"listen", entry.ops.listen}, {"unlisten", entry.ops.unlisten}, {"dial", entry.ops.dial},
        {"send", entry.ops.send},     {"close", entry.ops.close},       {"ready", entry.ops.ready},
    };
    status = check_slots(slots, HKB_COUNT(slots), kind, scheme, reterr);
    if (status >= 0) {
        status = check_place(registry->transport_count, hkb_registry_transport(registry, scheme),
                             kind, scheme, reterr);
    }
    if (status < 0) {
        return status;
    }
    if (!(kept = keep(registry, &entry, sizeof(entry), reterr))) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    registry->transports[registry->transport_count++] = kept;
    return HAKUBAN_OK;
}

hakuban_status hkb_registry_add_serializer(hkb_registry *registry,
                                           const hakuban_serializer_ops *ops, hakuban_error *reterr)
{
    static const char kind[] = "serializer";
    hakuban_serializer_ops table = {0}, *kept;
    hakuban_status status =
        copy_table(&table, sizeof(table), ops, HAKUBAN_SERIALIZER_ABI, kind, reterr);
    if (status >= 0) {
        status = check_name(table.name, kind, "name", reterr);
    }
    if (status >= 0) {
        status = check_name(table.format, kind, "format", reterr);
    }
    if (status < 0) {
        return status;
    }
    const struct slot slots[] = {{"write", table.write}, {"read", table.read}};
    status = check_slots(slots, HKB_COUNT(slots), kind, table.name, reterr);
    if (status >= 0) {
        status = check_place(registry->serializer_count,
                             hkb_registry_serializer(registry, table.name, strlen(table.name)),
                             kind, table.name, reterr);
    }
    if (status < 0) {
        return status;
    }
    if (!(kept = keep(registry, &table, sizeof(table), reterr))) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    registry->serializers[registry->serializer_count++] = kept;
    return HAKUBAN_OK;
}

hakuban_status hkb_registry_add_compressor(hkb_registry *registry,
                                           const hakuban_compressor_ops *ops, hakuban_error *reterr)
{
    static const char kind[] = "compressor";
    hkb_compressor entry = {0}, *kept;
    hakuban_compressor_ops *table = &entry.ops;
    hakuban_status status =
        copy_table(table, sizeof(*table), ops, HAKUBAN_COMPRESSOR_ABI, kind, reterr);
    if (status >= 0) {
        status = check_name(table->name, kind, "name", reterr);
    }
    if (status < 0) {
        return status;
    }
    const struct slot slots[] = {
        {"bound", table->bound}, {"compress", table->compress}, {"decompress", table->decompress}};
    status = check_slots(slots, HKB_COUNT(slots), kind, table->name, reterr);
    if (status >= 0) {
        status = check_place(registry->compressor_count,
                             hkb_registry_compressor(registry, table->name, strlen(table->name)),
                             kind, table->name, reterr);
    }
    if (status < 0) {
        return status;
    }
    if (!(kept = keep(registry, &entry, sizeof(entry), reterr))) {
        return HAKUBAN_ERR_NO_MEMORY;
    }
    status = hkb_compressor_begin(kept, registry->alloc, &kept->self);
    if (status < 0) {
        hkb_free(registry->alloc, kept, sizeof(*kept));
        return hakuban_error_set(reterr, status, "the compressor %s did not start: %s", table->name,
                                 hakuban_status_text(status));
    }
    registry->compressors[registry->compressor_count++] = kept;
    return HAKUBAN_OK;
}

const hkb_transport_entry *hkb_registry_transport(const hkb_registry *registry, const char *scheme)
{
    for (size_t i = 0; i < registry->transport_count; i++) {
        if (strcmp(registry->transports[i]->ops.scheme, scheme) == 0) {
            return registry->transports[i];
        }
    }
    return NULL;
}

const hakuban_serializer_ops *hkb_registry_serializer(const hkb_registry *registry,
                                                      const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < registry->serializer_count; i++) {
        if (same_name(registry->serializers[i]->name, name, name_bytes)) {
            return registry->serializers[i];
        }
    }
    return NULL;
}

hkb_compressor *hkb_registry_compressor(const hkb_registry *registry, const char *name,
                                        size_t name_bytes)
{
    for (size_t i = 0; i < registry->compressor_count; i++) {
        if (same_name(registry->compressors[i]->ops.name, name, name_bytes)) {
            return registry->compressors[i];
        }
    }
    return NULL;
}
