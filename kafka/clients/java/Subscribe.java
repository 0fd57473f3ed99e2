import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** How long it takes from the creation of a consumer, in a group of its own, to its first record: Subscribe BOOTSTRAP */
public class Subscribe {
    static final int ROUNDS = 10;

    public static void main(String[] arguments) throws Exception {
        String topic = "subscribe-" + UUID.randomUUID();
        Map<String, Object> servers = Map.of("bootstrap.servers", arguments[0]);
        try (var producer = new KafkaProducer<>(servers, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>(topic, "value")).get();
        }
        for (String protocol : List.of("classic", "consumer")) {
            subscribe(arguments[0], protocol, topic); // loads the classes
            double[] took = new double[ROUNDS];
            for (int i = 0; i < ROUNDS; i++) {
                took[i] = subscribe(arguments[0], protocol, topic);
            }
            Arrays.sort(took);
            System.out.printf("Java, %s: %.1f ms (%.1f to %.1f)%n", protocol, took[ROUNDS / 2], took[0], took[ROUNDS - 1]);
        }
    }

    static double subscribe(String bootstrap, String protocol, String topic) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", "g-" + UUID.randomUUID(),
            "group.protocol", protocol, "auto.offset.reset", "earliest");
        long begin = System.nanoTime();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (consumer.poll(Duration.ofSeconds(10)).isEmpty()) {
            }
            return (System.nanoTime() - begin) / 1e6;
        }
    }
}
