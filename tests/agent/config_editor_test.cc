// Tables of edits: what changes, what stays, and what is refused under which name.
#include "agent/config_editor.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "agent/text_diff.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/support/edit_key.h"
#include "proto/support/status.h"

namespace drover::agent {
namespace {

using drover::v1::Profile;
using Edit = Profile::Edit;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct Row {
  const char* name;
  Edit::Format format;
  std::string text;
  const char* key;
  std::string value;
  // The edited text, or the reason of the problem.
  std::string want;
  bool url = false;
};

void Check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Edit edit;
    edit.set_format(row.format);
    edit.set_key(row.key);
    edit.set_value(row.value);
    edit.set_url_host_only(row.url);
    const auto got = EditText(row.text, edit);
    EXPECT_EQ(got.ok() ? *got : ReasonOf(got.status()), row.want)
        << (got.ok() ? "" : std::string(got.status().message()));
  }
}

TEST(ConfigEditor, Ini) {
  const auto kIni = Edit::FORMAT_INI;
  Check({
      {"a value", kIni, "[db]\nhost = a\nport=1\n", "db/host", "b", "[db]\nhost = b\nport=1\n"},
      {"as it is", kIni, "[db]\nhost = a\n", "db/host", "a", "[db]\nhost = a\n"},
      {"colon", kIni, "[db]\nhost: a\n", "db/host", "b", "[db]\nhost: b\n"},
      {"CRLF", kIni, "[db]\r\nhost=a\r\nx=1\r\n", "db/host", "b", "[db]\r\nhost=b\r\nx=1\r\n"},
      {"no end of line", kIni, "[db]\nhost=a", "db/host", "b", "[db]\nhost=b"},
      {"comment behind it", kIni, "[db]\nhost=a  ; old # note\n", "db/host", "b",
       "[db]\nhost=b  ; old # note\n"},
      {"no comment without a blank", kIni, "[db]\nurl=a;b#c\n", "db/url", "x", "[db]\nurl=x\n"},
      {"a comment that looks like it", kIni, "[db]\n;host=x\n# host=y\nhost=a\n", "db/host", "b",
       "[db]\n;host=x\n# host=y\nhost=b\n"},
      {"empty value", kIni, "[db]\nhost=\n", "db/host", "b", "[db]\nhost=b\n"},
      {"quotes stay", kIni, "[db]\nhost=\"a ; x\"\n", "db/host", "b", "[db]\nhost=\"b\"\n"},
      {"other section", kIni, "[a]\nhost=1\n[b]\nhost=2\n", "b/host", "3",
       "[a]\nhost=1\n[b]\nhost=3\n"},
      {"section with a colon", kIni, "[program:web]\ncommand=x\n", "program:web/command", "y",
       "[program:web]\ncommand=y\n"},
      {"section with a slash", kIni, "[a/b]\nc=x\n", "\"a/b\"/c", "y", "[a/b]\nc=y\n"},
      {"before the first section", kIni, "host=1\n[b]\nhost=2\n", "host", "3",
       "host=3\n[b]\nhost=2\n"},
      {"prefix of another option", kIni, "[a]\nhost_x=1\nhost=2\n", "a/host", "3",
       "[a]\nhost_x=1\nhost=3\n"},
      {"unicode", kIni, "[dbä]\nhöst=ä\n", "dbä/höst", "数", "[dbä]\nhöst=数\n"},
      {"byte order mark", kIni, "\xEF\xBB\xBF[a]\nb=1\n", "a/b", "2", "\xEF\xBB\xBF[a]\nb=2\n"},
      {"missing option", kIni, "[db]\nport=1\n", "db/host", "b", "KEY_MISSING"},
      {"missing section", kIni, "host=1\n", "db/host", "b", "KEY_MISSING"},
      {"only in a continued line", kIni, "[db]\nx=1\n  host=2\n", "db/host", "b", "KEY_MISSING"},
      {"twice", kIni, "[db]\nhost=1\nhost=2\n", "db/host", "b", "KEY_AMBIGUOUS"},
      {"twice in sections of one name", kIni, "[db]\nhost=1\n[x]\n[db]\nhost=2\n", "db/host", "b",
       "KEY_AMBIGUOUS"},
      {"several lines", kIni, "[db]\nhosts=1\n  2\n", "db/hosts", "b", "VALUE_UNFIT"},
      {"a line break smuggled in", kIni, "[db]\nhost=1\n", "db/host", "b\nadmin=1", "VALUE_UNFIT"},
      {"would become a comment", kIni, "[db]\nhost=1\n", "db/host", "b ;c", "VALUE_UNFIT"},
      {"blanks would go", kIni, "[db]\nhost=1\n", "db/host", " b ", "VALUE_UNFIT"},
      {"broken section", kIni, "[db\nhost=1\n", "db/host", "b", "FILE_MALFORMED"},
      {"bad key", kIni, "[db]\nhost=1\n", "db/", "b", "EDIT_KEY_BAD"},
      {"environment", kIni, "[program:w]\nenvironment=A=\"1\",HOST=\"a\",C='3'\n",
       "program:w/environment/HOST", "b", "[program:w]\nenvironment=A=\"1\",HOST=\"b\",C='3'\n"},
      {"environment over lines", kIni,
       "[program:w]\nenvironment=\n    A=\"x,HOST=1\", ; first\n    HOST=a,\n    "
       "C=3\nautostart=1\n",
       "program:w/environment/HOST", "b:1",
       "[program:w]\nenvironment=\n    A=\"x,HOST=1\", ; first\n    HOST=b:1,\n    C=3\n"
       "autostart=1\n"},
      {"environment, quotes where needed", kIni, "[p]\nenvironment=HOST=a\n", "p/environment/HOST",
       "b,c", "[p]\nenvironment=HOST=\"b,c\"\n"},
      {"environment, missing", kIni, "[p]\nenvironment=XHOST=a\n", "p/environment/HOST", "b",
       "KEY_MISSING"},
      {"environment, twice", kIni, "[p]\nenvironment=H=a,H=b\n", "p/environment/H", "b",
       "KEY_AMBIGUOUS"},
      {"environment, broken", kIni, "[p]\nenvironment=H=\"a\n", "p/environment/H", "b",
       "FILE_MALFORMED"},
      {"URL in the environment", kIni, "[p]\nenvironment=U=\"redis://:pw@a:6379/0\"\n",
       "p/environment/U", "10.0.0.1", "[p]\nenvironment=U=\"redis://:pw@10.0.0.1:6379/0\"\n", true},
  });
}

TEST(ConfigEditor, Python) {
  const auto kPython = Edit::FORMAT_PYTHON;
  const std::string django =
      "# -*- coding: utf-8 -*-\nimport os\n\nDATABASES = {\n    'default': {\n"
      "        'ENGINE': 'django.db.backends.mysql',  # 'HOST': 'no'\n"
      "        'HOST': 'localhost',\n        'PORT': 3306,\n    },\n    'other': "
      "{'HOST': \"x\"},\n}\n";
  std::string moved = django;
  moved.replace(moved.find("localhost"), 9, "10.1.2.3");
  std::string port = django;
  port.replace(port.find("3306"), 4, "3307");
  std::string other = django;
  other.replace(other.find("\"x\""), 3, "\"10.0.0.9\"");
  Check({
      {"a string", kPython, "HOST = 'a'  # b\n", "HOST", "b", "HOST = 'b'  # b\n"},
      {"double quotes", kPython, "HOST=\"a\"\r\nX=1\r\n", "HOST", "b", "HOST=\"b\"\r\nX=1\r\n"},
      {"into a dictionary", kPython, django, "DATABASES.default.HOST", "10.1.2.3", moved},
      {"a number", kPython, django, "DATABASES.default.PORT", "3307", port},
      {"the other one", kPython, django, "DATABASES.other.HOST", "10.0.0.9", other},
      {"a number becomes a string when it is none", kPython, "H = None\n", "H", "a", "H = \"a\"\n"},
      {"a string stays one", kPython, "H = '1'\n", "H", "2", "H = '2'\n"},
      {"boolean", kPython, "D = True\n", "D", "False", "D = False\n"},
      {"negative", kPython, "D = -1\n", "D", "5", "D = 5\n"},
      {"quotes in the value", kPython, "H = 'a'\n", "H", "it's \\ \"b\"",
       "H = 'it\\'s \\\\ \"b\"'\n"},
      {"a line break in the value", kPython, "H = 'a'\n", "H", "b'\nimport os\n'",
       "H = 'b\\'\\nimport os\\n\\''\n"},
      {"raw", kPython, "H = r'a\\d'\n", "H", "b", "H = r'b'\n"},
      {"raw cannot stay", kPython, "H = r'a\\d'\n", "H", "b\\c", "H = 'b\\\\c'\n"},
      {"triple quotes", kPython, "H = \"\"\"a\nb\"\"\"\nX = 1\n", "H", "c\"d",
       "H = \"\"\"c\\\"d\"\"\"\nX = 1\n"},
      {"assignment inside triple quotes is none", kPython, "D = '''\nH = 'x'\n'''\nH = 'a'\n", "H",
       "b", "D = '''\nH = 'x'\n'''\nH = 'b'\n"},
      {"inside a comment is none", kPython, "#H = 'x'\nH = 'a'\n", "H", "b", "#H = 'x'\nH = 'b'\n"},
      {"inside a function is none", kPython, "def f():\n    H = 'x'\nH = 'a'\n", "H", "b",
       "def f():\n    H = 'x'\nH = 'b'\n"},
      {"class attribute", kPython, "H = 'm'\nclass C(B):\n    '''doc'''\n    H = 'a'\n", "C.H", "b",
       "H = 'm'\nclass C(B):\n    '''doc'''\n    H = 'b'\n"},
      {"the module's, not the class's", kPython, "class C:\n    H = 'a'\nH = 'm'\n", "H", "b",
       "class C:\n    H = 'a'\nH = 'b'\n"},
      {"class in a class", kPython, "class A:\n\tclass B:\n\t\tH = 'a'\n", "A.B.H", "b",
       "class A:\n\tclass B:\n\t\tH = 'b'\n"},
      {"class in one line", kPython, "class A: H = 'a'\n", "A.H", "b", "class A: H = 'b'\n"},
      {"method's local is none", kPython,
       "class A:\n    def m(self):\n        H = 'x'\n    H = 'a'\n", "A.H", "b",
       "class A:\n    def m(self):\n        H = 'x'\n    H = 'b'\n"},
      {"annotated", kPython, "H: str = 'a'\n", "H", "b", "H: str = 'b'\n"},
      {"list by number", kPython, "H = ['a', # x, y\n 'b',\n ('c', 'd')]\n", "H.2.1", "z",
       "H = ['a', # x, y\n 'b',\n ('c', 'z')]\n"},
      {"dict() and parentheses", kPython, "H = dict(a=1, host=('x'))\n", "H.host", "z",
       "H = dict(a=1, host=('z'))\n"},
      {"by subscript", kPython, "D = {'a': {'host': 'w'}}\nD['a']['host'] = 'x'\n", "D.a.host", "z",
       "KEY_AMBIGUOUS"},
      {"set by subscript alone", kPython, "D['a'] = {'host': 'x'}\n", "D.a.host", "z",
       "D['a'] = {'host': 'z'}\n"},
      {"by semicolon", kPython, "A = 1; H = 'a'; B = 2\n", "H", "b", "A = 1; H = 'b'; B = 2\n"},
      {"backslash", kPython, "H = \\\n  'a'\n", "H", "b", "H = \\\n  'b'\n"},
      {"a key with dots", kPython, "D = {'a.b': 'x'}\n", "D.\"a.b\"", "z", "D = {'a.b': 'z'}\n"},
      {"unicode", kPython, "数据 = 'ä'\n", "数据", "主机", "数据 = '主机'\n"},
      {"bytes", kPython, "H = b'a'\n", "H", "b", "H = b'b'\n"},
      {"bytes of other letters", kPython, "H = b'a'\n", "H", "ä", "VALUE_UNFIT"},
      {"URL", kPython, "B = 'amqp://u:p@a:5672/v'\n", "B", "10.0.0.2",
       "B = 'amqp://u:p@10.0.0.2:5672/v'\n", true},
      {"URL with a new port", kPython, "B = 'http://a/x?y=http://z'\n", "B", "h:8",
       "B = 'http://h:8/x?y=http://z'\n", true},
      {"not a URL", kPython, "B = 'abc'\n", "B", "h", "NOT_A_URL", true},
      {"several hosts", kPython, "B = 'mongodb://a,b/x'\n", "B", "h", "NOT_A_URL", true},
      {"missing", kPython, "A = 1\n", "H", "b", "KEY_MISSING"},
      {"comparison is no assignment", kPython, "assert H == 'a'\nif H == 'b': pass\n", "H", "b",
       "KEY_MISSING"},
      {"keyword argument is none", kPython, "f(\nH='a')\n", "H", "b", "KEY_MISSING"},
      {"twice", kPython, "H = 'a'\nH = 'b'\n", "H", "c", "KEY_AMBIGUOUS"},
      {"in both branches", kPython, "if x:\n    H = 'a'\nelse:\n    H = 'b'\n", "H", "c",
       "KEY_AMBIGUOUS"},
      {"in one branch", kPython, "try:\n    H = 'a'\nexcept E:\n    pass\n", "H", "c",
       "try:\n    H = 'c'\nexcept E:\n    pass\n"},
      {"twice in a dictionary", kPython, "D = {'a': 1, 'a': 2}\n", "D.a", "3", "KEY_AMBIGUOUS"},
      {"added to", kPython, "H = 'a'\nH += 'b'\n", "H", "c", "KEY_AMBIGUOUS"},
      {"an expression", kPython, "H = os.environ['H']\n", "H", "b", "VALUE_UNFIT"},
      {"joined strings", kPython, "H = 'a' 'b'\n", "H", "b", "VALUE_UNFIT"},
      {"formatted", kPython, "H = f'{x}'\n", "H", "b", "VALUE_UNFIT"},
      {"a dictionary itself", kPython, "H = {'a': 1}\n", "H", "b", "VALUE_UNFIT"},
      {"into what is no dictionary", kPython, "H = load()\n", "H.a", "b", "VALUE_UNFIT"},
      {"several names", kPython, "A = H = 'a'\n", "H", "b", "VALUE_UNFIT"},
      {"open string", kPython, "H = 'a\nX = 1\n", "H", "b", "FILE_MALFORMED"},
      {"open bracket", kPython, "H = {'a': 1\n", "H", "b", "FILE_MALFORMED"},
      {"open triple quote", kPython, "H = '''a\n", "H", "b", "FILE_MALFORMED"},
  });
}

TEST(ConfigEditor, Yaml) {
  const auto kYaml = Edit::FORMAT_YAML;
  const std::string text =
      "# top\ndb:\n  host: a   # here\n  port: 3306\n  'quoted key': \"x\"\nlist:\n- one\n- name: "
      "n\n"
      "  host: 'l''x'\nnested:\n    deep: {a: 1, host: h, l: [x, \"y\"]}\ntext: |\n  db:\n    "
      "host: "
      "no\nlast: z\n";
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string out = text;
    out.replace(out.find(from), from.size(), to);
    return out;
  };
  Check({
      {"plain", kYaml, text, "db.host", "10.0.0.1", with("host: a ", "host: 10.0.0.1 ")},
      {"number", kYaml, text, "db.port", "3307", with("3306", "3307")},
      {"quoted key", kYaml, text, "db.quoted key", "y\"z", with("\"x\"", "\"y\\\"z\"")},
      {"item", kYaml, text, "list.0", "two", with("- one", "- two")},
      {"in an item", kYaml, text, "list.1.host", "it's", with("'l''x'", "'it''s'")},
      {"first of an item", kYaml, text, "list.1.name", "m", with("name: n", "name: m")},
      {"flow", kYaml, text, "nested.deep.host", "g", with("host: h", "host: g")},
      {"flow list", kYaml, text, "nested.deep.l.1", "w", with("\"y\"", "\"w\"")},
      {"behind a block of text", kYaml, text, "last", "w", with("last: z", "last: w")},
      {"text that would be a number", kYaml, text, "db.host", "12", with(": a ", ": \"12\" ")},
      {"text that would be a comment", kYaml, text, "db.host", "a #b", with(": a ", ": \"a #b\" ")},
      {"text that would end the flow", kYaml, text, "nested.deep.host", "a, b",
       with("host: h", "host: \"a, b\"")},
      {"line break", kYaml, text, "last", "a\nb: 1", with("last: z", "last: \"a\\nb: 1\"")},
      {"nothing there", kYaml, "a:\nb: 1\n", "a", "x", "a: x\nb: 1\n"},
      {"nothing at the end", kYaml, "b: 1\na:", "a", "x", "b: 1\na: x"},
      {"CRLF", kYaml, "a: 1\r\nb: c\r\n", "b", "d", "a: 1\r\nb: d\r\n"},
      {"second document", kYaml, "a: 1\n---\nb: 2\n", "b", "3", "a: 1\n---\nb: 3\n"},
      {"unicode", kYaml, "ключ: значение\n", "ключ", "值", "ключ: 值\n"},
      {"URL", kYaml, "u: http://a:1/x\n", "u", "b", "u: http://b:1/x\n", true},
      {"colon in a value", kYaml, "u: a:b\n", "u", "c", "u: c\n"},
      {"missing", kYaml, text, "db.hosts", "x", "KEY_MISSING"},
      {"in a block of text only", kYaml, "t: |\n  a: 1\n", "t.a", "x", "KEY_MISSING"},
      {"twice", kYaml, "a: 1\nb: 2\na: 3\n", "a", "x", "KEY_AMBIGUOUS"},
      {"in two documents", kYaml, "a: 1\n---\na: 2\n", "a", "x", "KEY_AMBIGUOUS"},
      {"a mapping", kYaml, "a: {b: 1}\n", "a", "x", "VALUE_UNFIT"},
      {"a block of text", kYaml, text, "text", "x", "VALUE_UNFIT"},
      {"an alias", kYaml, "a: *b\n", "a", "x", "VALUE_UNFIT"},
      {"several lines", kYaml, "a: b\n  c\nd: 1\n", "a", "x", "VALUE_UNFIT"},
      {"tab", kYaml, "a:\n\tb: 1\n", "a.b", "x", "FILE_MALFORMED"},
      {"open quote", kYaml, "a: \"b\n", "a", "x", "FILE_MALFORMED"},
      {"open bracket", kYaml, "a: [b\n", "a.0", "x", "FILE_MALFORMED"},
  });
}

TEST(ConfigEditor, Toml) {
  const auto kToml = Edit::FORMAT_TOML;
  Check({
      {"string", kToml, "[db]\nhost = \"a\" # x\n", "db.host", "b", "[db]\nhost = \"b\" # x\n"},
      {"literal string", kToml, "host = 'a'\n", "host", "b\\c", "host = 'b\\c'\n"},
      {"literal cannot stay", kToml, "host = 'a'\n", "host", "it's", "host = \"it's\"\n"},
      {"number", kToml, "[a.b]\nport = 1\n", "a.b.port", "2", "[a.b]\nport = 2\n"},
      {"number becomes a string", kToml, "x = 1\n", "x", "a", "x = \"a\"\n"},
      {"string stays one", kToml, "x = \"1\"\n", "x", "2", "x = \"2\"\n"},
      {"dotted and inline", kToml, "a.b = { c = [1, \"x\"] }\n", "a.b.c.1", "y",
       "a.b = { c = [1, \"y\"] }\n"},
      {"list of tables", kToml, "[[s]]\nh = \"1\"\n[[s]]\nh = \"2\"\n", "s.1.h", "3",
       "[[s]]\nh = \"1\"\n[[s]]\nh = \"3\"\n"},
      {"behind unicode", kToml, "\"ä\" = { \"数\" = \"é\", h = \"x\" }\r\n", "ä.h", "数",
       "\"ä\" = { \"数\" = \"é\", h = \"数\" }\r\n"},
      {"several lines", kToml, "t = \"\"\"\na\n\"\"\"\nx = 1\n", "t", "b", "t = \"b\"\nx = 1\n"},
      {"escape", kToml, "x = \"a\"\n", "x", "\"\n\\", "x = \"\\\"\\n\\\\\"\n"},
      {"missing", kToml, "x = 1\n", "y", "a", "KEY_MISSING"},
      {"a table", kToml, "[x]\ny = 1\n", "x", "a", "VALUE_UNFIT"},
      {"twice", kToml, "x = 1\nx = 2\n", "x", "a", "FILE_MALFORMED"},
  });
}

TEST(ConfigEditor, Json) {
  const auto kJson = Edit::FORMAT_JSON;
  Check({
      {"string", kJson, "{\n  \"db\": {\"host\": \"a\", \"port\": 1}\n}\n", "db.host", "b\"\\\n",
       "{\n  \"db\": {\"host\": \"b\\\"\\\\\\n\", \"port\": 1}\n}\n"},
      {"number", kJson, "{\"a\":[1,2.5]}", "a.1", "3", "{\"a\":[1,3]}"},
      {"null to string", kJson, "{\"a\":null}", "a", "x", "{\"a\":\"x\"}"},
      {"string stays one", kJson, "{\"a\":\"1\"}", "a", "2", "{\"a\":\"2\"}"},
      {"escaped key", kJson, "{\"a\\u00e9\":\"1\"}", "aé", "2", "{\"a\\u00e9\":\"2\"}"},
      {"text in a string is no key", kJson, "{\"t\":\"\\\"a\\\":1\",\"a\":1}", "a", "2",
       "{\"t\":\"\\\"a\\\":1\",\"a\":2}"},
      {"missing", kJson, "{}", "a", "2", "KEY_MISSING"},
      {"twice", kJson, "{\"a\":1,\"a\":2}", "a", "3", "KEY_AMBIGUOUS"},
      {"an object", kJson, "{\"a\":{\"b\":1}}", "a", "3", "VALUE_UNFIT"},
      {"comment", kJson, "{\"a\":1 // x\n}", "a", "3", "FILE_MALFORMED"},
      {"cut off", kJson, "{\"a\":1", "a", "3", "FILE_MALFORMED"},
      {"two documents", kJson, "{\"a\":1}{}", "a", "3", "FILE_MALFORMED"},
      {"nested without end", kJson, std::string(100000, '['), "a", "3", "FILE_MALFORMED"},
  });
}

TEST(ConfigEditor, Regex) {
  const auto kRegex = Edit::FORMAT_REGEX;
  Check({
      {"group", kRegex, "listen 80;\nserver a;\r\n", "^server\\s+(\\S+);$", "b",
       "listen 80;\nserver b;\r\n"},
      {"empty group", kRegex, "x=\n", "^x=(.*)$", "1", "x=1\n"},
      {"no match", kRegex, "a\n", "^server (.*)$", "b", "KEY_MISSING"},
      {"two lines", kRegex, "s a\ns b\n", "^s (.*)$", "c", "KEY_AMBIGUOUS"},
      {"twice in a line", kRegex, "s=1 s=2\n", "s=(\\d)", "3", "KEY_AMBIGUOUS"},
      {"group not taken", kRegex, "ab\n", "a(c)?b", "3", "VALUE_UNFIT"},
      {"no match any more", kRegex, "n=1\n", "^n=(\\d+)$", "x", "VALUE_UNFIT"},
      {"does not compile", kRegex, "n=1\n", "(", "x", "VALUE_UNFIT"},
      {"line break", kRegex, "n=1\n", "^n=(.+)$", "x\ny", "VALUE_UNFIT"},
  });
}

TEST(ConfigEditor, UrlHosts) {
  struct UrlRow {
    const char *url, *place, *want;
  };
  for (const UrlRow& row :
       std::vector<UrlRow>{{"http://a", "b", "http://b"},
                           {"http://a:1", "b", "http://b:1"},
                           {"http://a:1/p", "b:2", "http://b:2/p"},
                           {"mysql://u:p%40@[::1]:3306/d?x=1#y", "10.0.0.1",
                            "mysql://u:p%40@10.0.0.1:3306/d?x=1#y"},
                           {"redis://:pa@ss@a:6379/0", "b", "redis://:pa@ss@b:6379/0"},
                           {"http://a/x", "[::2]:8", "http://[::2]:8/x"},
                           {"a:1", "b", "NOT_A_URL"},
                           {"http://a/x", "b/c", "NOT_A_URL"},
                           {"http://a/x", "", "NOT_A_URL"},
                           {"mongodb://a:1,b:2/x", "c", "NOT_A_URL"}}) {
    SCOPED_TRACE(row.url);
    const auto got = ReplaceUrlHost(row.url, row.place);
    EXPECT_EQ(got.ok() ? *got : ReasonOf(got.status()), row.want);
  }
}

TEST(ConfigEditor, MessagesNameLinesAndNeverValues) {
  Edit edit;
  edit.set_format(Edit::FORMAT_PYTHON);
  edit.set_key("PASSWORD");
  edit.set_value("new-s3cret");
  const auto twice = EditText("PASSWORD = 'old-s3cret'\n\nPASSWORD = 'b'\n", edit);
  EXPECT_THAT(std::string(twice.status().message()), HasSubstr("lines 1, 3"));
  EXPECT_THAT(std::string(twice.status().message()), Not(HasSubstr("s3cret")));
}

TEST(EditKey, Parts) {
  EXPECT_THAT(*ParseEditKey(Edit::FORMAT_YAML, "a.\"b.c\".0"), ElementsAre("a", "b.c", "0"));
  EXPECT_THAT(*ParseEditKey(Edit::FORMAT_INI, "s/o/N"), ElementsAre("s", "o", "N"));
  EXPECT_THAT(*ParseEditKey(Edit::FORMAT_YAML, R"("a\"\\b")"), ElementsAre("a\"\\b"));
  EXPECT_THAT(*ParseEditKey(Edit::FORMAT_REGEX, "^a.(b)/"), ElementsAre("^a.(b)/"));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "\"a", "\"a\"b"}) {
    EXPECT_FALSE(ParseEditKey(Edit::FORMAT_JSON, bad).ok()) << bad;
  }
  EXPECT_FALSE(ParseEditKey(Edit::FORMAT_INI, "a/b/c/d").ok());
  EXPECT_FALSE(ParseEditKey(Edit::FORMAT_UNSPECIFIED, "a").ok());
}

TEST(TextDiff, ShowsLinesAroundChanges) {
  EXPECT_EQ(UnifiedDiff("/f", "a\n", "a\n"), "");
  EXPECT_EQ(UnifiedDiff("/f", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nX\n6\n7\n8\n9\n"),
            "--- /f\n+++ /f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+X\n 6\n 7\n 8\n");
  EXPECT_EQ(UnifiedDiff("/f", "", "a\n"), "--- /f\n+++ /f\n@@ -0,0 +1,1 @@\n+a\n");
  EXPECT_EQ(UnifiedDiff("/f", "a\r\nb\r\n", "a\r\nc\r\n"),
            "--- /f\n+++ /f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
  std::string before, after;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&before, "line ", i, "\n");
  after = before;
  after.replace(after.find("line 3\n"), 7, "LINE 3\n");
  after.replace(after.find("line 50\n"), 8, "");
  const std::string diff = UnifiedDiff("/f", before, after);
  EXPECT_THAT(diff, HasSubstr("@@ -1,7 +1,7 @@"));
  EXPECT_THAT(diff, HasSubstr("@@ -48,7 +48,6 @@\n line 47\n line 48\n line 49\n-line 50\n"));
}

TEST(TextDiff, HidesSecrets) {
  struct SecretRow {
    const char *line, *want;
  };
  for (const SecretRow& row : std::vector<SecretRow>{
           {"HOST = 'a'", "HOST = 'a'"},
           {"PASSWORD = 'x'", "PASSWORD = ***"},
           {"    'PASSWORD': 'x', 'HOST': 'h',", "    'PASSWORD': ***, 'HOST': 'h',"},
           {"db_passwd=a b, c", "db_passwd=***"},
           {"environment=A=\"1\",API_KEY=\"k,1\",H=\"h\"",
            "environment=A=\"1\",API_KEY=***,H=\"h\""},
           {"  secret_key: abc # d", "  secret_key: ***"},
           {"\"authToken\" : \"x\",", "\"authToken\" : ***,"},
           {"URL = 'amqp://u:p@ss@h/v'", "URL = 'amqp://u:***@h/v'"},
           {"u: redis://:pw@h:1/0", "u: redis://:***@h:1/0"},
           {"D['password'] = u'x'", "D['password'] = ***"},
           {"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ==", "***"}}) {
    bool open = false;
    EXPECT_EQ(HideSecrets(row.line, &open), row.want);
  }
  bool open = false;
  EXPECT_EQ(HideSecrets("PASSWORD = (", &open), "PASSWORD = (");
  EXPECT_EQ(HideSecrets("    'hunter2'", &open), "    ***");
  EXPECT_EQ(HideSecrets(")", &open), ")");
  // Also when the line that names it is not shown.
  EXPECT_THAT(UnifiedDiff("/f", "password: |\n  s3cret\nx: 1\n", "password: |\n  s3cret\nx: 2\n"),
              Not(HasSubstr("s3cret")));
}

}  // namespace
}  // namespace drover::agent
