-- Every document table looks the same: a key, a second key that need not be unique, and the serialized record.
CREATE TABLE hypervisors (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE types (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE environments (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE vms (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE users (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE sessions (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE operations (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE agents (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE tokens (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE commands (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE requests (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE log_backups (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE mails (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE alerts (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);

CREATE INDEX vms_by_owner ON vms (owner, key);
CREATE INDEX sessions_by_owner ON sessions (owner, key);
CREATE INDEX operations_by_owner ON operations (owner, key);
CREATE INDEX tokens_by_owner ON tokens (owner, key);
CREATE INDEX commands_by_owner ON commands (owner, key);

-- Times are microseconds since 1970, UTC.
CREATE TABLE events (
  sequence BIGINT NOT NULL PRIMARY KEY,
  time BIGINT NOT NULL,
  kind TEXT NOT NULL,
  vm TEXT NOT NULL,
  environment TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX events_by_kind ON events (kind, sequence);
CREATE INDEX events_by_vm ON events (vm, sequence);
CREATE INDEX events_by_environment ON events (environment, sequence);
CREATE INDEX events_by_time ON events (time);

-- An entry is its columns: there is no second copy that could differ from what searches see and the hash covers.
CREATE TABLE log (
  id BIGINT NOT NULL PRIMARY KEY,
  kind BIGINT NOT NULL,
  time BIGINT NOT NULL,
  user_id TEXT NOT NULL,
  client_address TEXT NOT NULL,
  vm TEXT NOT NULL,
  vm_type TEXT NOT NULL,
  environment TEXT NOT NULL,
  action TEXT NOT NULL,
  resource_name TEXT NOT NULL,
  result TEXT NOT NULL,
  detail TEXT NOT NULL,
  operation TEXT NOT NULL,
  gaps BLOB NOT NULL,
  hash TEXT NOT NULL
);
CREATE INDEX log_by_kind ON log (kind, id);
CREATE INDEX log_by_user ON log (user_id, id);
CREATE INDEX log_by_client_address ON log (client_address, id);
CREATE INDEX log_by_vm ON log (vm, id);
CREATE INDEX log_by_vm_type ON log (vm_type, id);
CREATE INDEX log_by_environment ON log (environment, id);
CREATE INDEX log_by_time ON log (time);
