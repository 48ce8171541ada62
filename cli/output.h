// Messages on standard output in the format that was asked for.
//
// Thread promise: for one thread. Pure but for the writing.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace drover::cli {

enum class Format { kTable, kWide, kJson, kYaml, kName, kCsv, kToml };

struct OutputOptions {
  Format format = Format::kTable;
  // Lower-case headers or field paths; empty = the type's own.
  std::vector<std::string> columns;
  bool headers = true;
  bool quiet = false;
};

// From the common flags, then DROVER_OUTPUT. INVALID_ARGUMENT for a format that does not exist.
absl::StatusOr<OutputOptions> OutputOptionsOf(const Arguments& arguments, const Terminal& terminal);

struct Cell {
  std::string text;
  Colour colour = Colour::kNone;
};

// A column of a type's tables.
struct Column {
  std::string header;
  // Field the cell shows, when `cell` is not set.
  std::string path;
  // Shown by "wide", csv and on request.
  bool wide = false;
  bool right = false;
  Cell (*cell)(const google::protobuf::Message&) = nullptr;
};

// The columns of a type (columns.cc); by default its plain fields.
std::vector<Column> ColumnsOf(const google::protobuf::Descriptor& type);

// The colour and symbol of an enum's value: "● up". Words alone where `symbols` is false.
Cell StateCell(const google::protobuf::EnumValueDescriptor& value, bool symbols);

// A list: its answer as a whole for json and yaml, its rows otherwise.
absl::Status PrintList(Terminal& terminal, const OutputOptions& options,
                       const google::protobuf::Message& answer);
// One resource: all its fields by name, or a row.
absl::Status PrintMessage(Terminal& terminal, const OutputOptions& options,
                          const google::protobuf::Message& message);
// Rows as a table with the type's columns.
absl::Status PrintRows(Terminal& terminal, const OutputOptions& options,
                       const google::protobuf::Descriptor& type,
                       const std::vector<const google::protobuf::Message*>& rows);

// The resource name of a message, e.g. "vms/web-01"; its first text when it has none.
std::string NameOf(const google::protobuf::Message& message);
// All fields that are set, a line each, messages indented below their name.
std::string Describe(const google::protobuf::Message& message, bool symbols, int indent = 0);
std::string ToYaml(const google::protobuf::Message& message);
std::string CsvField(absl::string_view text);

}  // namespace drover::cli
