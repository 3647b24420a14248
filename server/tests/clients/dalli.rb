# Dalli from 5 on, as Rails uses it: the meta protocol.
require "json"
require "dalli"

def expect(what)
  raise "not so: #{caller(1, 1)}" unless what
end

client = Dalli::Client.new("127.0.0.1:#{ARGV.fetch(0)}", serializer: JSON, value_max_bytes: 4 << 20)
client.flush_all

expect client.set("a", "one", 60)
expect client.get("a") == "one"
expect client.get("none").nil?
expect !client.add("a", "two")
expect client.replace("a", "two")
expect client.get("a") == "two"
client.set("raw", "x", 0, raw: true)
expect client.append("raw", "!")
expect client.prepend("raw", ">")
expect client.get("raw", raw: true) == ">x!"
expect client.incr("n", 2, 60, 5) == 5
expect client.incr("n", 2) == 7
expect client.decr("n", 10) == 0
expect client.decr("absent", 1).nil?
value, cas = client.get_cas("a")
expect value == "two" && cas.positive?
expect client.set_cas("a", "three", cas)
expect !client.set_cas("a", "four", cas)
expect client.cas("a") { |old| old + "!" }
expect client.get("a") == "three!"
client.quiet { 50.times { |i| client.set("many:#{i}", i) } }
expect client.get_multi((0..60).map { |i| "many:#{i}" }) == (0...50).to_h { |i| ["many:#{i}", i] }
expect client.touch("a", 60)
expect client.gat("a", 60) == "three!"
expect client.fetch("computed") { 42 } == 42
expect client.get("computed") == 42
expect client.set("schlüssel", "wert") && client.get("schlüssel") == "wert"
expect client.delete("a")
expect !client.delete("a")
large = "x" * 2_000_000
expect client.set("large", large) && client.get("large") == large
expect client.stats.values.first["curr_items"].to_i.positive?
expect !client.version.values.first.empty?
expect client.alive!
