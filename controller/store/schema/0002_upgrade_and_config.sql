CREATE TABLE working_copies (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE rollouts (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE automatic_upgrades (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE commits (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE profiles (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE configurations (key TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL);

CREATE INDEX working_copies_by_owner ON working_copies (owner, key);
CREATE INDEX configurations_by_owner ON configurations (owner, key);
