#include "cli/output.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/fields.h"
#include "cli/nearest.h"
#include "proto/support/json.h"
#include "proto/support/resource_name.h"
#include "proto/support/status.h"

namespace drover::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

using Row = std::vector<Cell>;

Cell CellOf(const Column& column, const Message& message, bool symbols) {
  if (column.cell != nullptr) return column.cell(message);
  const auto fields = FindPath(*message.GetDescriptor(), column.path);
  if (fields.empty()) return {};
  const Message* holder = &message;
  for (size_t i = 0; i + 1 < fields.size(); ++i) {
    holder = &holder->GetReflection()->GetMessage(*holder, fields[i]);
  }
  const FieldDescriptor& field = *fields.back();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM && !field.is_repeated()) {
    return StateCell(*holder->GetReflection()->GetEnum(*holder, &field), symbols);
  }
  return {FieldText(message, column.path)};
}

absl::StatusOr<std::vector<Column>> ChooseColumns(const OutputOptions& options,
                                                  const Descriptor& type) {
  const std::vector<Column> all = ColumnsOf(type);
  std::vector<Column> chosen;
  if (options.columns.empty()) {
    const bool wide = options.format == Format::kWide || options.format == Format::kCsv;
    std::copy_if(all.begin(), all.end(), std::back_inserter(chosen),
                 [wide](const Column& column) { return wide || !column.wide; });
    return chosen;
  }
  for (const std::string& name : options.columns) {
    const std::string wanted = absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"_", " "}}));
    const auto known = std::find_if(all.begin(), all.end(), [&wanted](const Column& column) {
      return column.header == wanted;
    });
    if (known != all.end()) {
      chosen.push_back(*known);
    } else if (FindField(type, name) != nullptr) {
      chosen.push_back({.header = wanted, .path = name});
    } else {
      std::vector<std::string> names;
      for (const Column& column : all) names.push_back(absl::AsciiStrToLower(column.header));
      return absl::InvalidArgumentError(
          absl::StrCat("--columns: there is no column \"", name, "\"", DidYouMean(name, names),
                       "; there are: ", absl::StrJoin(names, ", "), ", and every field's path"));
    }
  }
  return chosen;
}

// Takes cells from the widest columns until the table fits.
void Shrink(std::vector<int>& widths, int available) {
  constexpr int kNarrow = 8;
  const int gaps = 2 * (static_cast<int>(widths.size()) - 1);
  while (std::accumulate(widths.begin(), widths.end(), gaps) > available) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kNarrow) return;
    --*widest;
  }
}

std::string TableText(const Terminal& terminal, const OutputOptions& options,
                      const std::vector<Column>& columns, const std::vector<Row>& rows) {
  std::vector<int> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    int width = options.headers ? DisplayWidth(columns[i].header) : 0;
    for (const Row& row : rows) width = std::max(width, DisplayWidth(row[i].text));
    widths.push_back(width);
  }
  if (terminal.out_is_tty()) Shrink(widths, terminal.Width());
  std::string text;
  const auto add_row = [&](const Row& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      const std::string fitted = Fit(row[i].text, widths[i]);
      const int blanks = widths[i] - DisplayWidth(fitted);
      const std::string gap(static_cast<size_t>(std::max(0, blanks)), ' ');
      if (columns[i].right) text += gap;
      text += terminal.Paint(row[i].colour, fitted);
      if (!columns[i].right && !last) text += gap;
      if (!last) text += "  ";
    }
    text += "\n";
  };
  if (options.headers) {
    Row header;
    for (const Column& column : columns) header.push_back({column.header, Colour::kBold});
    add_row(header);
  }
  for (const Row& row : rows) add_row(row);
  return text;
}

std::string CsvText(const OutputOptions& options, const std::vector<Column>& columns,
                    const std::vector<Row>& rows) {
  std::string text;
  const auto join = [](std::string* out, const Cell& cell) {
    absl::StrAppend(out, CsvField(cell.text));
  };
  if (options.headers) {
    Row header;
    for (const Column& column : columns) {
      header.push_back({absl::StrReplaceAll(absl::AsciiStrToLower(column.header), {{" ", "_"}})});
    }
    absl::StrAppend(&text, absl::StrJoin(header, ",", join), "\n");
  }
  for (const Row& row : rows) absl::StrAppend(&text, absl::StrJoin(row, ",", join), "\n");
  return text;
}

// json and yaml show the message itself, without what is secret in it.
absl::Status PrintWhole(Terminal& terminal, Format format, const Message& message) {
  const std::unique_ptr<Message> shown(message.New());
  shown->CopyFrom(message);
  ClearSecrets(shown.get());
  if (format == Format::kYaml) {
    terminal.Print(ToYaml(*shown));
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const std::string json, ToJson(*shown, true));
  terminal.Print(absl::StrCat(absl::StripTrailingAsciiWhitespace(json), "\n"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OutputOptions> OutputOptionsOf(const Arguments& arguments,
                                              const Terminal& terminal) {
  static const auto* const formats = new std::map<std::string, Format>{
      {"table", Format::kTable}, {"wide", Format::kWide}, {"json", Format::kJson},
      {"yaml", Format::kYaml},   {"name", Format::kName}, {"csv", Format::kCsv},
      {"toml", Format::kToml}};
  OutputOptions options;
  std::string name = arguments.Get("output");
  if (name.empty()) name = terminal.Env("DROVER_OUTPUT");
  if (!name.empty()) {
    const auto found = formats->find(name);
    if (found == formats->end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "DROVER_OUTPUT: \"", name, "\" is not one of table, wide, json, yaml, name, csv"));
    }
    options.format = found->second;
  }
  options.columns = arguments.All("columns");
  options.headers = !arguments.Has("no-headers");
  options.quiet = arguments.Has("quiet");
  return options;
}

absl::Status PrintRows(Terminal& terminal, const OutputOptions& options, const Descriptor& type,
                       const std::vector<const Message*>& messages) {
  if (options.quiet || options.format == Format::kName) {
    for (const Message* message : messages) {
      const std::string name = NameOf(*message);
      terminal.Print(absl::StrCat(options.quiet ? IdOf(name) : name, "\n"));
    }
    return absl::OkStatus();
  }
  DROVER_ASSIGN_OR_RETURN(const std::vector<Column> columns, ChooseColumns(options, type));
  const bool symbols =
      terminal.ShowsSymbols() && terminal.out_is_tty() && options.format != Format::kCsv;
  std::vector<Row> rows;
  for (const Message* message : messages) {
    Row& row = rows.emplace_back();
    for (const Column& column : columns) {
      Cell cell = CellOf(column, *message, symbols);
      // A text of several lines would tear the table.
      if (options.format != Format::kCsv) {
        cell.text = absl::StrReplaceAll(cell.text, {{"\n", " "}, {"\t", " "}});
      }
      if (cell.text.empty() && options.format != Format::kCsv) cell.text = "-";
      row.push_back(std::move(cell));
    }
  }
  terminal.Print(options.format == Format::kCsv ? CsvText(options, columns, rows)
                                                : TableText(terminal, options, columns, rows));
  return absl::OkStatus();
}

absl::Status PrintList(Terminal& terminal, const OutputOptions& options, const Message& answer) {
  if (!options.quiet && (options.format == Format::kJson || options.format == Format::kYaml)) {
    return PrintWhole(terminal, options.format, answer);
  }
  const FieldDescriptor* field = RowsField(*answer.GetDescriptor());
  if (field == nullptr) return absl::InternalError("an answer without rows");
  std::vector<const Message*> rows;
  for (int i = 0; i < answer.GetReflection()->FieldSize(answer, field); ++i) {
    rows.push_back(&answer.GetReflection()->GetRepeatedMessage(answer, field, i));
  }
  return PrintRows(terminal, options, *field->message_type(), rows);
}

absl::Status PrintMessage(Terminal& terminal, const OutputOptions& options,
                          const Message& message) {
  const bool row = options.quiet || options.format == Format::kName ||
                   options.format == Format::kCsv || options.format == Format::kWide ||
                   !options.columns.empty();
  if (!options.quiet && (options.format == Format::kJson || options.format == Format::kYaml)) {
    return PrintWhole(terminal, options.format, message);
  }
  if (row) return PrintRows(terminal, options, *message.GetDescriptor(), {&message});
  terminal.Print(Describe(message, terminal.ShowsSymbols() && terminal.out_is_tty()));
  return absl::OkStatus();
}

std::string NameOf(const Message& message) {
  for (const char* name : {"name", "vm", "environment", "hypervisor_object"}) {
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
    if (field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      return message.GetReflection()->GetString(message, field);
    }
  }
  return message.GetDescriptor()->field_count() == 0
             ? ""
             : ValueText(message, *message.GetDescriptor()->field(0));
}

std::string CsvField(absl::string_view text) {
  if (text.find_first_of(",\"\r\n") == absl::string_view::npos) return std::string(text);
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

}  // namespace drover::cli
