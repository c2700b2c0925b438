/** How the names of our own commands and events begin: as QMP wants it for downstream extensions (docs/interop/qmp-spec.rst). */
export const EXTENSION_PREFIX = '__org.qmpmux_';
