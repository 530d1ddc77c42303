import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Queues. */
final class Queues {
    private Queues() {}

    static Map<String, Recipe> recipes() {
        Map<String, Recipe> recipes = new LinkedHashMap<>();
        recipes.put("queue", Queues::queue);
        recipes.put("queue with a lock", Queues::queueWithLock);
        recipes.put("id queue", Queues::idQueue);
        recipes.put("priority queue", Queues::priorityQueue);
        recipes.put("delay queue", Queues::delayQueue);
        recipes.put("simple queue", Queues::simpleQueue);
        return recipes;
    }

    private static final class Consumer implements QueueConsumer<String> {
        final List<String> taken = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void consumeMessage(String message) {
            taken.add(message);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}
    }

    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return Clients.bytes(item);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return Clients.text(bytes);
        }
    };

    private static QueueBuilder<String> builder(CuratorFramework client, QueueConsumer<String> consumer, String path) {
        return QueueBuilder.builder(client, consumer, TEXT, path);
    }

    private static List<String> items(int count) {
        List<String> items = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            items.add("item-" + number);
        }
        return items;
    }

    private static void queue(Clients clients) throws Exception {
        Consumer consumer = new Consumer();
        try (DistributedQueue<String> producer = builder(clients.client(), null, clients.root).buildQueue();
                DistributedQueue<String> taker = builder(clients.client(), consumer, clients.root).buildQueue()) {
            producer.start();
            taker.start();
            for (String item : items(40)) {
                producer.put(item);
            }
            Check.that(producer.flushPuts(20, TimeUnit.SECONDS), "all sent");
            Check.soon(() -> consumer.taken.size() == 40, "all taken");
            Check.equal(items(40), List.copyOf(consumer.taken), "in order");
        }
    }

    private static void queueWithLock(Clients clients) throws Exception {
        List<Consumer> consumers = List.of(new Consumer(), new Consumer());
        List<DistributedQueue<String>> queues = new ArrayList<>();
        for (Consumer consumer : consumers) {
            DistributedQueue<String> queue = builder(clients.client(), consumer, clients.path("queue"))
                    .lockPath(clients.path("locks"))
                    .buildQueue();
            queue.start();
            queues.add(queue);
        }
        for (String item : items(30)) {
            queues.get(0).put(item);
        }
        Check.soon(() -> consumers.stream().mapToInt(consumer -> consumer.taken.size()).sum() >= 30, "all taken");
        List<String> all = new ArrayList<>();
        consumers.forEach(consumer -> all.addAll(consumer.taken));
        Check.equal(items(30).stream().sorted().toList(), all.stream().sorted().toList(), "each once");
        for (DistributedQueue<String> queue : queues) {
            queue.close();
        }
    }

    private static void idQueue(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        Consumer consumer = new Consumer();
        try (DistributedIdQueue<String> producer = builder(client, null, clients.root).buildIdQueue()) {
            producer.start();
            producer.put("keep", "id-1");
            producer.put("drop", "id-2");
            Check.that(producer.flushPuts(20, TimeUnit.SECONDS), "all sent");
            Check.equal(1, producer.remove("id-2"), "one removed");
        }
        try (DistributedIdQueue<String> taker = builder(client, consumer, clients.root).buildIdQueue()) {
            taker.start();
            Check.soon(() -> consumer.taken.equals(List.of("keep")), "the other one taken");
        }
    }

    private static void priorityQueue(Clients clients) throws Exception {
        CuratorFramework client = clients.client();
        Consumer consumer = new Consumer();
        try (DistributedPriorityQueue<String> producer = builder(client, null, clients.root).buildPriorityQueue(1)) {
            producer.start();
            producer.put("third", 30);
            producer.put("first", -5);
            producer.put("second", 10);
            Check.that(producer.flushPuts(20, TimeUnit.SECONDS), "all sent");
        }
        try (DistributedPriorityQueue<String> taker = builder(client, consumer, clients.root).buildPriorityQueue(1)) {
            taker.start();
            Check.soon(() -> consumer.taken.size() == 3, "all taken");
            Check.equal(List.of("first", "second", "third"), List.copyOf(consumer.taken), "by priority");
        }
    }

    private static void delayQueue(Clients clients) throws Exception {
        Consumer consumer = new Consumer();
        try (DistributedDelayQueue<String> queue =
                builder(clients.client(), consumer, clients.root).buildDelayQueue()) {
            queue.start();
            long now = System.currentTimeMillis();
            queue.put("late", now + 1_500);
            queue.put("early", now + 300);
            Check.soon(() -> consumer.taken.size() == 2, "both taken");
            Check.that(System.currentTimeMillis() - now >= 1_500, "not before their time");
            Check.equal(List.of("early", "late"), List.copyOf(consumer.taken), "by time");
        }
    }

    private static void simpleQueue(Clients clients) throws Exception {
        SimpleDistributedQueue producer = new SimpleDistributedQueue(clients.client(), clients.root);
        SimpleDistributedQueue taker = new SimpleDistributedQueue(clients.client(), clients.root);
        Check.that(taker.poll(200, TimeUnit.MILLISECONDS) == null, "empty");
        producer.offer(Clients.bytes("a"));
        producer.offer(Clients.bytes("b"));
        Check.equal("a", Clients.text(taker.peek()), "looked at");
        Check.equal("a", Clients.text(taker.take()), "taken");
        Check.equal("b", Clients.text(taker.poll(5, TimeUnit.SECONDS)), "polled");
        Check.that(taker.poll() == null, "empty again");
    }
}
