// nextflow run examples/archives/lift.nf --recordings RECORDINGS --lifted LIFTED --shards 20
//
// A process for each shard, and one for the tables. RECORDINGS and LIFTED are absolute paths, or URLs, that all nodes see.
params.recordings = "recordings"
params.lifted = "lifted"
params.shards = 20

process SHARD {
    cpus 2
    maxRetries 3
    errorStrategy 'retry'

    input:
    val part

    output:
    val part

    script:
    // 3: some files could not be lifted; they are rows of the manifest.
    """
    olift archive '${params.recordings}' --out '${params.lifted}' --shard ${part}/${params.shards} \
      --workers ${task.cpus} || [ \$? = 3 ]
    """
}

process TABLES {
    input:
    val parts

    script:
    """
    olift archive --merge '${params.lifted}'
    olift archive --report '${params.lifted}'
    """
}

workflow {
    channel.of(1..(params.shards as Integer)) | SHARD | collect | TABLES
}
