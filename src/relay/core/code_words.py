"""The 512 words that codes and comparisons are made of: told apart by their first four letters, and when heard."""

from __future__ import annotations

WORDS: tuple[str, ...] = tuple(
    """
    admiral almond alpine anchor antler archer autumn avenue badger ballad bamboo barley barrel basket beacon beaver
    bedrock beetle biscuit bishop blanket blossom bobbin bonfire border bottle boulder bracket bramble breeze bridge
    bronze bucket buffalo bundle burrow butter cactus canary candle canvas captain carbon carousel carpet carrot
    castle cellar cement ceramic chapel charcoal cherry chestnut chimney chisel cinder circus citrus clover cobalt
    cobbler coconut coffee colony compass copper cotton cougar coyote cradle crater crayon cricket crimson crocus
    crystal cupola current curtain cushion cymbal cypress daffodil dancer decade desert diamond dinner dipper doctor
    dolphin domino donkey dragon drawer dresser drizzle drummer duchess eclipse emerald emperor enamel engine ermine
    escort estuary evening fabric falcon farmer fathom feather fennel fiddle fisher flame flannel flint flower flute
    folder forest fortune fossil fountain freckle freight friend frigate frost fruit gable gadget galaxy galley
    gamma garden garlic garnet gather gazelle gecko genius geyser ginger giraffe glacier glass glider goblet golden
    gondola goose gopher gosling granite grape gravel grotto grove guitar gypsum habit hamlet hammer harbor harvest
    hatch hazel heart hedge helmet hermit heron hickory hinge hollow honey horizon hornet horse hotel humble hurdle
    husky hyena iceberg igloo indigo inkwell island ivory jacket jaguar jasmine jelly jersey jester jewel jigsaw
    jockey joker journey judge jungle juniper kayak kernel kettle keyhole kimono kingdom kitchen knapsack koala
    ladder lagoon lantern lapel larch lasso laurel lavender lecture legend lemon lentil leopard letter lever library
    lilac limpet linen lizard llama lobster locket logic lotus lumber lunar lupine machine magnet magpie mallet
    mammal mango manor mantle maple marble market marsh meadow medal melon mercury meteor mineral mirror mitten
    mohair molar monsoon mosaic motor muffin mulberry music muslin mustard myrtle napkin narwhal native nectar
    needle nephew nickel night noble nomad noodle north nougat novel nugget nutmeg oatmeal ocean octave olive
    olympic onion opera oracle orange orbit orchard organ osprey otter outpost oxide oyster paddle pagoda paint
    palace panda papaya parade parsley pasture pearl pebble pelican pencil pepper petal phantom pianist pickle
    picnic pigeon pillow pilot pioneer pirate pistachio pitcher planet plaza plough poplar porridge portal possum
    potato powder prairie prince prism pulse pumpkin puppet purple puzzle pyramid quarry queen quill quiver rabbit
    radar radish raisin ranch ranger rattle raven record region reindeer relic reptile rhythm ribbon ripple river
    robin rosemary royal rudder rustic saffron salad salmon sandal sapphire satchel saucer scarf scene school
    scooter sculptor seagull season sequoia shadow shell shepherd shovel shutter silver siren sketch slate sleigh
    slipper smoke snail sparrow spice spider spindle sponge spring spruce squirrel stable starling steeple stirrup
    stone storm stream studio sugar summit sundial swallow sword syrup tablet tailor talon tapestry teapot temple
    tender textile theater thicket thistle thread thunder tiger timber tinsel toast tomato topaz torch totem toucan
    tower tractor trellis trolley trout truck trumpet tulip tundra tunnel turnip turtle tuxedo twilight umbrella
    uncle unicorn upland urchin usher vanilla vapor varnish vault velvet veranda vessel viaduct village vinegar
    violet vision volcano voyage vulture waffle wagon walnut walrus warbler water wedding whale wheat whisker wicker
    window winter wombat woodland wreath yacht yellow yodel yogurt yonder zebra zenith zephyr zigzag zodiac
    """.split()
)
BITS_EACH = 9
