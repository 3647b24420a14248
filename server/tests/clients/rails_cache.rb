# Rails' cache store for Redis, as Debian ships it.
require "active_support"
require "active_support/cache/redis_cache_store"

def expect(what)
  raise "not so: #{caller(1, 1)}" unless what
end

failed = ->(method:, returning:, exception:) { raise exception }
store = ActiveSupport::Cache::RedisCacheStore.new(
  url: "redis://127.0.0.1:#{ARGV.fetch(0)}/8", namespace: "rails", error_handler: failed, expires_in: 60,
)
store.clear
expect store.write("a", { x: [1, nil] }) && store.read("a") == { x: [1, nil] } && store.read("none").nil?
expect !store.write("a", 1, unless_exist: true) && store.exist?("a") && !store.exist?("none")
expect store.fetch("b") { 42 } == 42 && store.fetch("b") { 43 } == 42
expect store.write_multi({ "c" => 1, "d" => 2 }) && store.read_multi("c", "d", "none") == { "c" => 1, "d" => 2 }
expect store.fetch_multi("c", "e") { |name| name * 2 } == { "c" => 1, "e" => "ee" }
expect store.increment("n", 5, expires_in: 30) == 5 && store.decrement("n", 2) == 3
expect store.redis.ttl("rails:n").between?(1, 30)
expect store.write("gone", 1, expires_in: 0.05) && (sleep(0.1) || true) && store.read("gone").nil?
expect store.delete("a") && !store.exist?("a") && store.delete_multi(%w[c none]) == 1
store.delete_matched("[de]*")
expect store.read_multi("d", "e").empty? && store.read("b") == 42
large = "x" * 1_000_000
expect store.write("large", large, compress: false) && store.read("large") == large
store.clear
expect store.read("b").nil?
