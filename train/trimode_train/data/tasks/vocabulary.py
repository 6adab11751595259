"""Names, places and things that the generators draw from."""

# fmt: off
FIRST_NAMES = (
    "Anna", "Omar", "Mei", "Lucas", "Nina", "Ravi", "Sofia", "Jonas", "Aisha", "Pedro", "Clara", "Ivan", "Leila",
    "Tom", "Yuki", "Marta", "Samuel", "Elena", "Kofi", "Ingrid", "Hugo", "Zara", "Felix", "Amara", "Oscar", "Lin",
    "Greta", "Dario", "Vera", "Noah",
)
LAST_NAMES = (
    "Berg", "Silva", "Chen", "Novak", "Haddad", "Larsen", "Patel", "Moreau", "Tanaka", "Rossi", "Weber", "Okafor",
    "Costa", "Keller", "Ivanov", "Meyer", "Santos", "Kim", "Olsen", "Dubois",
)
CITIES = (
    "Oslo", "Lima", "Cairo", "Paris", "Kyoto", "Madrid", "Nairobi", "Vienna", "Boston", "Delhi", "Lisbon", "Seoul",
    "Athens", "Quito", "Prague", "Dublin", "Accra", "Berlin", "Sydney", "Toronto",
)
JOBS = (
    "baker", "teacher", "nurse", "pilot", "farmer", "lawyer", "painter", "driver", "writer", "doctor", "singer",
    "plumber", "chef", "judge", "sailor", "tailor",
)
ITEMS = (
    "apples", "pears", "plums", "lemons", "grapes", "beans", "onions", "carrots", "eggs", "bread", "butter",
    "cheese", "rice", "honey", "salt", "tea", "coffee", "sugar", "flour", "milk",
)
WORDS = (
    "anchor", "apple", "arrow", "basket", "bird", "boat", "bottle", "bridge", "candle", "castle", "chair", "cloud",
    "coin", "desert", "door", "drum", "eagle", "engine", "feather", "field", "flower", "forest", "garden", "ghost",
    "glass", "hammer", "harbour", "hill", "horse", "island", "jacket", "jewel", "kettle", "king", "ladder", "lake",
    "lantern", "leaf", "lion", "market", "mirror", "moon", "mountain", "needle", "night", "ocean", "orange", "owl",
    "paper", "pencil", "piano", "queen", "rabbit", "river", "road", "rope", "sand", "shadow", "silver", "snow",
    "spoon", "stone", "storm", "table", "tiger", "tower", "train", "umbrella", "valley", "village", "violin",
    "wagon", "water", "wheel", "window", "winter", "wolf", "yard", "zebra",
)
COLOURS = (
    "red", "blue", "green", "yellow", "black", "white", "brown", "pink", "grey", "gold",
)
PLACES = (
    "harbour", "forest", "market", "castle", "village", "island", "valley", "river", "tower", "garden", "bridge",
    "mountain", "station", "library", "desert", "school", "museum", "farm",
)
OBJECTS = (
    "lantern", "violin", "mirror", "kettle", "compass", "feather", "coin", "map", "book", "key", "drum", "umbrella",
    "ring", "basket", "clock", "bottle", "letter", "camera",
)
WEEKDAYS = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)
# fmt: on
